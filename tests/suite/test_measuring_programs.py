"""The programs beside `make fidelity`, in little: they run, and write what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SUITE = """
[[applications]]
name = "dlrm"
entry = "dlrm:application"
class = "recommendation"

[[applications]]
name = "lstm_lm"
entry = "lstm_lm:application"
class = "recurrent"
"""


def written(program: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """The document that a program of benchmarks/ writes about two applications."""
    pytest.importorskip("torch")
    suite, output = folder / "suite.toml", folder / "told.json"
    suite.write_text(SUITE, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, BENCHMARKS / program, "--suite", suite, "-o", output, *arguments],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS / "suite")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    document: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return document


def test_each_term_is_left_out_once(tmp_path: Path) -> None:
    few = ("--platforms", "torch::1", "--time-limit", "1", "--reduction", "4")
    terms = {row["without"]: row for row in written("ablation.py", tmp_path, *few)["terms"]}
    assert len(terms) >= 10
    for row in terms.values():
        assert set(row["torch::1"]) == {"error", "classes", "reduction"}
    # blocks are fewer than their operators, and what is left out makes another benchmark
    assert terms["blocks"]["stages"] > terms["nothing"]["stages"]


def test_the_program_for_gpus_does_all_but_warps_on_a_processor(tmp_path: Path) -> None:
    document = written("cuda_fidelity.py", tmp_path, "--device", "cpu", "--kinds", "torch:float32")
    (platform,) = document["platforms"]
    assert platform["classes"].keys() == {"recommendation", "recurrent"}
    assert document["failed"] == []
    assert document["machine"]["torch"]


def test_it_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    ended = subprocess.run(
        ["sh", BENCHMARKS / "cuda.sh", "-o", tmp_path / "cuda.json"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "finds no CUDA GPU here" in ended.stderr
    assert list(tmp_path.iterdir()) == []
