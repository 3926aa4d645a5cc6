"""Every way in which an application starts, and in which it dies: exit code and output are what
they are without the monitor, and the counts are those of the calls that ran.

With the native capture; what every capture has to survive is in `test_capture_contract`.
"""

from __future__ import annotations

import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from aimatrix.monitoring.agent.activation import CAPTURES

pytest.importorskip("torch")

PYTHON = sys.executable

#: what applications are made of; it prints how often it has worked
WORK = """
import os, sys, torch
torch.set_num_threads(1)
tensor = torch.ones(2)

def work(times=5):
    for _ in range(times):
        torch.relu(tensor)
    return times
"""

PROCESSES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from work import work

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        child = context.Process(target=work)
        child.start()
        child.join()
        print(method, child.exitcode)
        with context.Pool(2) as pool:
            print(sum(pool.map(work, [1, 2, 3])))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        print(sum(pool.map(work, [1, 2, 3])))
    with ThreadPoolExecutor(2) as pool:
        print(sum(pool.map(work, [1, 2, 3])))
"""

WORKERS = """
from torch.utils.data import DataLoader, Dataset
from work import torch, work

class Rows(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        work(1)
        return torch.tensor(float(index))

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        loader = DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context=method)
        print(sum(batch.sum().item() for batch in loader))
"""

RANKS = """
import torch.distributed
from work import torch, work

torch.distributed.init_process_group("gloo")
work()
total = torch.ones(3) * (torch.distributed.get_rank() + 1)
torch.distributed.all_reduce(total)
if torch.distributed.get_rank() == 0:
    print(total.tolist())
torch.distributed.destroy_process_group()
"""

CHILDREN = f"""
import os, subprocess, sys
from work import work
work()
print(subprocess.run([sys.executable, "-c", "from work import work; work()"]).returncode)
os.system("{PYTHON} plain.py")
if os.fork() == 0:
    work()
    os._exit(0)
print(os.wait()[1], flush=True)
os.execv(sys.executable, [sys.executable, "plain.py", "another"])
"""

PROGRAMS = {
    "work.py": WORK,
    "plain.py": "import sys\nfrom work import work\nprint(work(), sys.argv[1:], __name__)\n",
    "console": f"#!{PYTHON}\nimport sys\nfrom work import work\nsys.exit(work())\n",
    "processes.py": PROCESSES,
    "workers.py": WORKERS,
    "ranks.py": RANKS,
    "children.py": CHILDREN,
}

#: way to start -> (command, calls)
STARTS: dict[str, tuple[list[str], int]] = {
    "script": ([PYTHON, "plain.py", "an argument"], 5),
    "module": ([PYTHON, "-m", "plain"], 5),
    "code": ([PYTHON, "-c", "from work import work; print(work())"], 5),
    "console script": (["./console"], 5),
    "shell": (["sh", "-c", f"{PYTHON} plain.py | cat && ./console; exit 3"], 10),
    "env": (["env", "NAME=value", PYTHON, "plain.py"], 5),
    "subprocess, system, fork and exec": ([PYTHON, "children.py"], 25),
    "multiprocessing and futures": ([PYTHON, "processes.py"], 3 * (5 + 6) + 2 * 6),
    "workers of a DataLoader": ([PYTHON, "workers.py"], 16),
    "torchrun": (
        [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "ranks.py"],
        10,
    ),
}

#: way to die -> code, after 1000 calls
ENDS = {
    "return": "pass",
    "exception": "raise ValueError('of its own')",
    "sys.exit": "sys.exit(3)",
    "sys.exit with words": "sys.exit('words')",
    "os._exit": "os._exit(4)",
    "exit in a handler": "import atexit; atexit.register(work, 7); atexit.register(os._exit, 5)",
    "abort": "os.abort()",
    "segmentation fault": "import ctypes; ctypes.string_at(0)",
    **{
        name: f"import signal; os.kill(os.getpid(), signal.{name})"
        for name in ("SIGTERM", "SIGINT", "SIGKILL", "SIGHUP")
    },
}

#: two threads call, and note each call when it has returned, until something kills them
BUSY = """
import mmap, signal, struct, sys, threading, time
from work import tensor, torch

with open("ran", "r+b") as file:
    ran = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")

def loop(index):
    while True:
        torch.relu(tensor)
        ran[index] += 1

for index in range(2):
    threading.Thread(target=loop, args=(index,), daemon=True).start()
while min(ran) < 2000:
    time.sleep(0.001)
signal.raise_signal(getattr(signal, sys.argv[1]))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the programs, where commands start."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "console").chmod(stat.S_IRWXU)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else torchrun says that it sets it
    return tmp_path


@pytest.mark.parametrize("start", STARTS)
def test_however_it_starts_all_of_it_is_counted(watch, programs: Path, start: str) -> None:
    command, calls = STARTS[start]
    plain = subprocess.run(command, capture_output=True, text=True)
    outcome = watch(command=command)
    assert outcome.stdout == plain.stdout
    assert outcome.stderr == plain.stderr
    assert outcome.returncode == plain.returncode
    assert outcome.calls("aten::relu") == calls


@pytest.mark.parametrize("end", ENDS)
def test_however_it_dies_what_it_did_is_counted(watch, programs: Path, end: str) -> None:
    (programs / "dying.py").write_text(f"from work import *\nwork(1000)\n{ENDS[end]}\n")
    command = [PYTHON, "dying.py"]
    plain = subprocess.run(command, capture_output=True, text=True)
    outcome = watch(command=command)
    assert outcome.stdout == plain.stdout
    assert outcome.stderr == plain.stderr
    assert outcome.returncode == plain.returncode
    assert outcome.calls("aten::relu") == 1000


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_amid_its_calls_it_has_counted_those_that_ran(watch, programs, name: str) -> None:
    (programs / "busy.py").write_text(BUSY)
    for capture in CAPTURES:
        (programs / "ran").write_bytes(bytes(16))
        outcome = watch(command=[PYTHON, "busy.py", name], capture=capture)
        assert outcome.returncode == -getattr(signal, name)
        ran = sum(struct.unpack("QQ", (programs / "ran").read_bytes()))
        assert ran >= 4000
        # of each thread one call more may have run that it did not come to note
        assert 0 <= outcome.calls("aten::relu") - ran <= 2, capture


def test_threads_that_began_before_torch_are_counted(watch, programs: Path) -> None:
    outcome = watch("""
        import threading
        go = threading.Event()
        def late():
            go.wait()
            from work import work
            work()
        older = [threading.Thread(target=late) for _ in range(3)]
        for thread in older: thread.start()
        import work
        go.set()
        for thread in older: thread.join()
        work.work()
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::relu") == 20


def test_a_child_that_outlives_its_parent_counts_while_the_command_runs(watch, programs) -> None:
    left = "from work import work; import time; time.sleep(0.5); work(); open('done', 'w')"
    (programs / "left.py").write_text(left)
    script = f"({PYTHON} left.py &) ; while [ ! -e done ]; do sleep 0.1; done"
    outcome = watch(command=["sh", "-c", script])
    # whether the child is still ending when the shell is done, and that is told, is chance
    assert outcome.returncode == 0
    assert outcome.calls("aten::relu") == 5
