"""A short run of the fuzz in `fuzz_readers`, so that it keeps working; `make fuzz` is long."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

FUZZ = Path(__file__).parent / "fuzz_readers.py"


def test_damaged_files_end_in_one_sentence_each(tmp_path: Path) -> None:
    output = tmp_path / "fuzz.json"
    ended = subprocess.run(
        [sys.executable, FUZZ, "--files", "200", "--seed", "7", "-o", output],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    readers = json.loads(output.read_text())["readers"]
    assert {reader["files"] for reader in readers.values()} == {50}
    # of damaged files some can be read, or the damages would reach no depth
    assert all(reader["taken"] + reader["refused"] == 50 for reader in readers.values())
    assert sum(reader["taken"] for reader in readers.values()) > 0
