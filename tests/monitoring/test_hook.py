"""The hook sees Pythons that ignore PYTHONPATH, and is nothing to those that no one monitors."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from aimatrix.errors import InputError
from aimatrix.monitoring import hook

PROGRAM = """
import torch
torch.relu(torch.ones(2))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with packages of its own, which has no aimatrix."""
    venv.create(tmp_path / "own", symlinks=True)
    return tmp_path / "own" / "bin" / "python"


@pytest.fixture
def with_torch(python: Path) -> Path:
    """The same, with the torch that the tests have."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        pytest.skip("torch is not installed")
    (packages,) = python.parents[1].glob("lib/*/site-packages")
    (packages / "torch_of_the_tests.pth").write_text(f"{Path(spec.origin).parents[1]}\n")
    return python


@pytest.fixture
def relus(watch: Callable[..., object], with_torch: Path, tmp_path: Path) -> Callable[..., int]:
    """Run a program with one relu under the monitor; how many of them were seen."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(*options: str) -> int:
        command = [str(with_torch), *options, str(program)]
        outcome = watch(command=command, capture="dispatch")
        assert (outcome.returncode, outcome.stderr) == (0, "")
        return outcome.calls("aten::relu")

    return run


def packages(python: Path) -> list[str]:
    (folder,) = python.parents[1].glob("lib/*/site-packages")
    return [path.name for path in folder.glob("*aimatrix*")]


def test_it_sees_what_ignores_pythonpath_until_it_is_removed(
    relus: Callable[..., int], with_torch: Path
) -> None:
    assert relus("-E") == 0
    file = hook.install(str(with_torch))
    assert hook.installed(str(with_torch)) == file
    # once and not twice where sitecustomize runs as well
    assert [relus("-E"), relus("-I"), relus()] == [1, 1, 1]
    assert hook.remove(str(with_torch)) == file
    assert hook.installed(str(with_torch)) is None
    assert packages(with_torch) == []


def test_it_does_nothing_where_no_monitor_is(python: Path) -> None:
    list_modules = [str(python), "-c", "import sys; print(sorted(sys.modules), sys.path)"]
    run = partial(subprocess.run, list_modules, capture_output=True, text=True, check=True)
    before = run()
    hook.install(str(python))
    assert (run().stdout, run().stderr) == (before.stdout, "")


def test_it_is_harmless_when_aimatrix_is_gone(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "_BOOT", tmp_path / "gone\n'\N{GREEK SMALL LETTER MU}")
    hook.install(str(python))
    monkeypatch.setenv("AIMATRIX_SPOOL", str(tmp_path / "spool"))
    command = [str(python), "-I", "-c", "import sys; print(sys.path)"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "gone" not in ended.stdout
    assert ended.stderr == ""


def test_putting_it_in_again_changes_nothing(python: Path) -> None:
    file = hook.install(str(python))
    content = file.read_bytes()
    assert hook.install(str(python)) == file
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o644
    assert packages(python) == [hook.NAME]


def test_removing_what_is_not_there_is_no_failure(python: Path) -> None:
    assert hook.remove(str(python)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no such Python"),
        ("#!/bin/sh\n", "does not answer as a Python does"),
        ("#!/bin/sh\necho '[\"/opt/x\", false]'\n", "/opt/x: .* reads no .pth files there"),
        ("#!/bin/sh\necho '[\"/proc/self\", true]'\n", "/proc/self: cannot be written to"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, text: str | None, reason: str) -> None:
    program = tmp_path / "python3"
    if text is not None:
        program.write_text(text)
        program.chmod(0o755)
    with pytest.raises(InputError, match=reason):
        hook.install(str(program))
    assert hook.installed(str(program)) is None


def test_one_that_cannot_be_removed_is_said(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = hook.install(str(python))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError, match=f"{file.parent}: cannot be written to: Permission denied"):
        hook.remove(str(python))
