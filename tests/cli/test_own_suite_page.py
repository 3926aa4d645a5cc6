"""docs/own-suite.md, done as it says: two files written, five commands run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from cli_runs import aimatrix

from aimatrix.model.result import Validation
from aimatrix.store import documents

PAGE = Path(__file__).parents[2] / "docs" / "own-suite.md"


def blocks(language: str) -> list[str]:
    """What the page has between its fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a reader has done what the page says."""
    folder = tmp_path_factory.mktemp("own")
    (program,), (suite,), (commands,) = blocks("python"), blocks("toml"), blocks("sh")
    (folder / "forecaster.py").write_text(program, encoding="utf-8")
    (folder / "suite.toml").write_text(suite, encoding="utf-8")
    lines = commands.splitlines()
    assert len(lines) == 5
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == "aimatrix"
        arguments = [sys.executable if word == "python" else word for word in arguments]
        ended = aimatrix(*arguments, folder=folder)
        assert ended.code == 0, ended.err
    return folder


def test_the_application_is_held_against_its_benchmark(done: Path) -> None:
    validation = documents.load(Validation, done / "validation.json")
    torch = next(item for item in validation.platforms if item.platform.backend == "torch")
    (row,) = torch.applications
    assert row.name == "forecaster"
    assert row.predicted_seconds is not None
    assert row.predicted_seconds > 0
    assert torch.whole is not None
    assert [row.name for row in torch.classes] == ["cnn"]


def test_the_report_names_it(done: Path) -> None:
    assert "forecaster" in (done / "report.html").read_text(encoding="utf-8")
