"""The demo takes minutes, and is `make demo`; here is what it refuses, and what it is made of."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from cli_runs import aimatrix

from aimatrix.api.demonstration import APPLICATIONS, CENTERS, monitor_program, suite_text
from aimatrix.errors import AimatrixError
from aimatrix.monitoring.native import Unavailable, ensure
from aimatrix.reference import published_tables
from aimatrix.validation import load_suite


def test_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "store").mkdir()
    (tmp_path / "thesis" / "store" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    for name in ("thesis", "file"):
        message = aimatrix("demo", "-o", name, folder=tmp_path).refusal()
        assert message.startswith(f"{name}: exists and is not the folder of an earlier demo")
    assert (tmp_path / "thesis" / "store" / "chapter.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "mine"


def test_its_suite_weighs_the_applications_as_they_were_run(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(suite_text(3))
    suite = load_suite(tmp_path / "suite.toml")
    assert [(item.name, item.weight) for item in suite.applications] == [
        (name, 3.0) for name in APPLICATIONS
    ]


def test_its_centers_are_the_posters() -> None:
    assert tuple(group.center for group in published_tables().classic) == CENTERS


@pytest.mark.parametrize("name", APPLICATIONS)
def test_its_programs_know_nothing_of_us(name: str) -> None:
    import aimatrix.applications as programs

    [folder] = programs.__path__
    tree = ast.parse((Path(folder) / f"{name}.py").read_text(encoding="utf-8"))
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"argparse", "torch", "__future__"}


def test_a_program_that_was_not_watched_stops_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "store").write_text("a file")
    (tmp_path / "torch.py").write_text("raise SystemExit(0)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "store"))
    with pytest.raises(AimatrixError, match=r"alexnet was not watched as it should be: .*spool"):
        monitor_program("alexnet", tmp_path / "store", 1)


def test_a_native_capture_that_cannot_be_built_does_not(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("AIMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "/bin/false")
    assert isinstance(ensure([sys.executable], tell=lambda line: None), Unavailable)
    monitor_program("alexnet", tmp_path / "store", 1)
    assert list((tmp_path / "store").glob("date=*/*.parquet"))
