"""The applications in benchmarks/suite and replay: each runs, and runs alike each time."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FOLDERS = [BENCHMARKS / "suite", BENCHMARKS / "replay"]
APPLICATIONS = {
    folder: {
        table["name"]: table
        for table in tomllib.loads((folder / "suite.toml").read_text())["applications"]
    }
    for folder in FOLDERS
}
ALL = {name: table for tables in APPLICATIONS.values() for name, table in tables.items()}
#: what is in the folders besides applications
OTHERS = {"run", "_batch_norms", "_suite"}


@pytest.fixture
def _suite_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folders' modules can be imported, and leave no other test a module of their names."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))
    yield
    for path in (path for folder in FOLDERS for path in folder.glob("*.py")):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Threads of small operators wait for one another long where other tests run too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_suite_modules", "_one_thread")
@pytest.mark.filterwarnings("default")  # those of other libraries are not ours to mend
@pytest.mark.parametrize("name", ALL)
def test_application_runs_alike_each_time(name: str) -> None:
    module, function = ALL[name]["entry"].split(":")
    work, inputs = getattr(importlib.import_module(module), function)()
    if ALL[name]["class"] == "training":
        assert torch.isfinite(work(*inputs))
        return
    assert isinstance(work, torch.nn.Module)
    assert not work.training
    with torch.inference_mode():
        first, second = (_tensors(work(*inputs)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.isfinite(one).all()
        assert one.abs().max() > 1e-3
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_module_is_in_the_suite_file(folder: Path) -> None:
    modules = {path.stem for path in folder.glob("*.py")} - OTHERS
    assert {table["entry"] for table in APPLICATIONS[folder].values()} == {
        f"{module}:application" for module in modules
    }
    assert set(APPLICATIONS[folder]) == modules


def _tensors(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
