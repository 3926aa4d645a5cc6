"""doctor says which capture a monitor would use, and why; install-hook, which file it wrote."""

from __future__ import annotations

import json
import shutil
import sys
import venv
from pathlib import Path

import pytest
from cli_runs import aimatrix


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("AIMATRIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(out: str) -> dict[str, str]:
    """What doctor prints for people, by the first word of each line."""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}


def test_before_anything_is_built(cache: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    ended = aimatrix("doctor", folder=tmp_path)
    assert (ended.code, ended.err) == (1, "")
    said = rows(ended.out)
    assert said["interpreter"].startswith(sys.executable)
    assert said["torch"].startswith(torch.__version__)
    assert said["cache"] == f"{cache}/native (no one else can write to it)"
    assert said["library"].startswith("not built: ")
    assert said["capture"] == "dispatch"
    assert not cache.exists()


def test_a_build_is_used_from_then_on(cache: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("there is no C++ compiler")
    ended = aimatrix("doctor", "--build", "--json", "--", sys.executable, "x", folder=tmp_path)
    assert ended.code == 0, ended
    assert "building the native capture for torch" in ended.err
    document = json.loads(ended.out)
    assert document["capture"] == "native"
    assert document["torch"]["version"] == torch.__version__
    built = document["library"]
    assert (built["state"], built["reason"]) == ("ready", None)
    assert 50 <= built["event_ns"] <= 2000
    assert built["file"] == str(cache / "native" / document["key"] / "capture.so")
    again = aimatrix("doctor", folder=tmp_path)
    assert (again.code, again.err) == (0, "")
    assert (rows(again.out)["library"], rows(again.out)["capture"]) == ("ready", "native")


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "/bin/false")
    ended = aimatrix("doctor", "--build", "--json", folder=tmp_path)
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["library"]["state"] == "failed"
    assert "false: cannot compile it" in document["library"]["reason"]
    assert document["capture"] == "dispatch"
    told = rows(aimatrix("doctor", folder=tmp_path).out)
    assert told["library"] == f"failed: {document['library']['reason']}"


def test_a_cache_that_others_can_write_to(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    cache.mkdir()
    cache.chmod(0o777)
    ended = aimatrix("doctor", "--build", "--json", folder=tmp_path)
    assert ended.code == 1
    document = json.loads(ended.out)
    assert f"{cache} can be written to by other users" in document["cache_problem"]
    assert document["library"]["reason"] == document["cache_problem"]
    assert list(cache.iterdir()) == []


def test_a_python_without_torch_and_its_hook(tmp_path: Path) -> None:
    venv.create(tmp_path / "own", symlinks=True)
    python = tmp_path / "own" / "bin" / "python"
    (packages,) = python.parents[1].glob("lib/*/site-packages")
    file = packages / "aimatrix_monitor.pth"

    def doctor() -> dict[str, str]:
        ended = aimatrix("doctor", "--", python, "app.py", folder=tmp_path)
        assert ended.code == 1
        return rows(ended.out)

    assert doctor()["torch"] == "none"
    assert doctor()["library"] == f"not built: {python} has no torch"
    assert doctor()["hook"].startswith("none")
    words = ("install-hook", "--python", python)
    wrote = aimatrix(*words, folder=tmp_path)
    assert (wrote.code, wrote.out, wrote.err) == (0, f"wrote {file}\n", "")
    assert doctor()["hook"] == str(file)
    assert aimatrix(*words, "--remove", folder=tmp_path).out == f"removed {file}\n"
    assert aimatrix(*words, "--remove", folder=tmp_path).out == f"{python} has no hook\n"
    assert not file.exists()


def test_a_hook_for_what_is_no_python(tmp_path: Path) -> None:
    message = aimatrix("install-hook", "--python", "absent", folder=tmp_path).refusal()
    assert message == "absent: there is no such Python; name its file with --python"
