"""What the tests of the command line share: one small application's way through all verbs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from cli_runs import APPLICATION, SUITE, aimatrix


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every verb has run once; tests that change something take `workplace`."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "small_app.py").write_text(APPLICATION)
    (folder / "suite.toml").write_text(SUITE)
    for line in (
        "monitor --store store -- python small_app.py",
        "analyze --store store -o profile.json",
        "synthesize profile.json -o benchmark",
        "run benchmark --backend null --time-limit 1s -o results/run.json",
        "validate benchmark --suite suite.toml --platform null --time-limit 1s"
        " -o results/validation.json",
        "report profile.json benchmark results -o report.html",
    ):
        ended = aimatrix(*line.replace("python", sys.executable).split(), folder=folder)
        assert (ended.code, ended.err) == (0, ""), (line, ended)
        (folder / f"{line.split()[0]}.txt").write_text(ended.out)
    return folder


@pytest.fixture
def workplace(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` to do harm to."""
    return Path(shutil.copytree(finished, tmp_path / "workplace"))
