"""The agent's start inside the application: unseen, light, and harmless when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aimatrix.monitoring import launcher


def test_a_program_without_torch_gets_nothing_heavy(watch, tmp_path: Path) -> None:
    outcome = watch("""
        import json, sys
        print(json.dumps([sys.path[1:], sorted(sys.modules)]))
    """)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, check=True
    )
    path, modules = json.loads(outcome.stdout)
    own_path, own_modules = json.loads(plain.stdout)
    assert path == own_path
    assert set(modules) - set(own_modules) <= {
        "__future__",
        "_aimatrix_agent",
        "_aimatrix_agent.import_hook",
        "_aimatrix_agent.notice",
        "_aimatrix_start",
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "importlib.machinery",
        "sitecustomize",
        "warnings",
    }
    assert (outcome.stderr, outcome.counts) == ("", [])


def test_the_users_own_sitecustomize_runs_in_our_place(watch, tmp_path, monkeypatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.mark = __file__\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    outcome = watch("import sys, sitecustomize; print(sys.mark, sitecustomize.__file__)")
    assert outcome.stdout.split() == [str(site / "sitecustomize.py")] * 2
    (site / "sitecustomize.py").write_text("1 / 0\n")
    failing = watch("print('runs')")
    assert failing.stdout == "runs\n"
    assert "ZeroDivisionError" in failing.stderr  # as Python itself reports it
    assert "aimatrix:" not in failing.stderr


def test_a_monitor_inside_a_monitor_does_no_harm(watch, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(launcher.BOOT))
    outcome = watch("import sys; print('runs')")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "runs\n", "")


@pytest.mark.parametrize(
    "sabotage",
    [
        "os.remove(os.path.join(spool, 'agent.json'))",
        "open(os.path.join(spool, 'agent.json'), 'w').write('{')",
        "sys.modules['_aimatrix_agent.spool'] = None",
    ],
)
def test_a_start_that_fails_is_told_in_one_line(watch, tmp_path: Path, sabotage: str) -> None:
    fake = tmp_path / "torch.py"  # any module of that name sets the agent off
    fake.write_text("value = 42\n")
    outcome = watch(f"""
        import os, sys
        spool = os.environ["AIMATRIX_SPOOL"]
        {sabotage}
        import torch
        print(torch.value, torch.__spec__.loader.exec_module.__name__)
    """)
    assert (outcome.returncode, outcome.stdout) == (0, "42 exec_module\n")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: torch is not watched in this process")


def test_a_torch_that_cannot_be_imported_fails_as_it_does_without_us(watch, tmp_path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('broken build')\n")
    outcome = watch("""
        for _ in range(2):
            try:
                import torch
            except ImportError as error:
                print(error)
    """)
    assert outcome.stdout == "broken build\nbroken build\n"
    assert outcome.stderr == ""


def test_a_capture_that_fails_on_the_way_stands_aside(watch) -> None:
    pytest.importorskip("torch")
    program = """
        import os, sys, threading, torch
        print(torch.relu(torch.tensor([-1.0, 2.0])))
        sys.modules["_aimatrix_agent.dispatch"].key = None
        print(torch.relu(torch.tensor([-1.0, 3.0])))
        thread = threading.Thread(target=lambda: print(torch.relu(torch.tensor([4.0]))))
        thread.start(); thread.join()
    """
    outcome = watch(program, capture="dispatch")
    assert outcome.stdout == "tensor([0., 2.])\ntensor([0., 3.])\ntensor([4.])\n"
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: this process is watched no more: TypeError(")
    assert outcome.calls("aten::relu") == 1


def test_a_spool_that_vanishes_does_no_harm(watch) -> None:
    pytest.importorskip("torch")
    outcome = watch("""
        import os, shutil, torch
        shutil.rmtree(os.environ["AIMATRIX_SPOOL"])
        print(torch.relu(torch.tensor([-1.0, 2.0])))
    """)
    assert (outcome.returncode, outcome.stdout) == (0, "tensor([0., 2.])\n")
    (line,) = outcome.stderr.splitlines()
    assert line == (
        "aimatrix: this process is watched no more: the command that it belongs to has ended"
    )


def test_signatures_beyond_the_capacity_are_counted_together(watch, monkeypatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(launcher, "CAPACITY", 4)
    outcome = watch("""
        import torch
        for size in range(1, 11):
            torch.relu(torch.empty(size))
    """)
    assert sum(count.calls for count in outcome.counts) == 20
    assert outcome.calls("aimatrix::overflow") == 8  # all but 10 empty and 2 relu
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: 8 calls were counted without their shapes")


def test_an_application_that_closes_all_files_keeps_its_own(watch, tmp_path) -> None:
    pytest.importorskip("torch")
    outcome = watch(f"""
        import os, torch
        torch.relu(torch.ones(1))
        os.closerange(3, 200)
        with open({str(tmp_path / "data")!r}, "w") as file:
            torch.relu(torch.ones(2))
            file.write("mine")
        print("done")
    """)
    assert (outcome.returncode, outcome.stdout) == (0, "done\n")
    assert (tmp_path / "data").read_text() == "mine"
    assert outcome.calls("aten::relu") == 2


def test_threads_that_cannot_be_followed_are_told_of(watch) -> None:
    pytest.importorskip("torch")
    outcome = watch(
        """
        import threading
        go = threading.Event()
        older = threading.Thread(target=go.wait)
        older.start()
        import torch
        torch.relu(torch.ones(2))
        go.set(); older.join()
    """,
        capture="dispatch",
    )
    assert outcome.returncode == 0
    (line,) = outcome.stderr.splitlines()
    assert line == "aimatrix: threads that were there before torch are not counted: 1 of them"
    assert outcome.calls("aten::relu") == 1
