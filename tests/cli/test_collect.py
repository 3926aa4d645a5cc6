"""Stores that cannot be written to, and what brings in the counts that had to stay outside.

The application's output and exit code are its own, one line says what is wrong, nothing is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cli_runs import Ended, aimatrix

from aimatrix.monitoring import run_folder

#: a program that makes 5 calls, without torch, and ends in its own way
PROGRAM = """
import os, sys
from _aimatrix_agent.spool import SpoolTally
tally = SpoolTally(os.environ["AIMATRIX_SPOOL"], 16)
description = {"name": "aten::x", "overload": "", "phase": "forward", "arguments": {}}
slot = tally.open(lambda: description)
for _ in range(5): tally.add(slot)
print("ran", flush=True)
"""
UNWRITTEN = f"{PROGRAM}\nsys.exit(7)"
KILLING = f"{PROGRAM}\nopen('pid', 'w').write(str(os.getpid())); os.kill(os.getppid(), 9)"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where counts go that no store takes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "aimatrix" / "spool"


def monitor(folder: Path, program: str) -> Ended:
    words = ["--store", "store", "--app", "shop", "--", sys.executable, "-c", program]
    return aimatrix("monitor", *words, folder=folder)


def kill_monitor(folder: Path) -> None:
    """Have a monitor killed by its command, which ends as well."""
    assert monitor(folder, KILLING).code == -signal.SIGKILL
    pid, deadline = int((folder / "pid").read_text()), time.monotonic() + 20
    with suppress(ProcessLookupError, FileNotFoundError):
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            if Path("/proc/self").exists() and not Path(f"/proc/{pid}/maps").read_bytes():
                return  # no one waits for it
            time.sleep(0.01)


def collect(folder: Path, *words: str) -> Ended:
    return aimatrix("collect", "--store", "store", *words, folder=folder)


def calls(folder: Path) -> int:
    words = ["--store", "store", "--app", "shop", "--json"]
    return int(aimatrix("analyze", *words, folder=folder).document()["calls"])


def told(ended: Ended) -> str:
    """The one line on standard error that is not about building the native capture."""
    lines = ended.err.splitlines()
    assert all(line.startswith("aimatrix: ") for line in lines), lines
    [line] = [line for line in lines if "native capture" not in line and "in Python" not in line]
    return line


def assert_untouched(ended: Ended, reason: str) -> None:
    """The command had its own output and exit code, and one line says that counts are kept."""
    assert (ended.code, ended.out) == (7, "ran\n")
    assert reason in told(ended)
    assert "`aimatrix collect` brings it in" in told(ended)


def test_what_a_killed_monitor_left_comes_in_once(tmp_path: Path) -> None:
    kill_monitor(tmp_path)
    ended = collect(tmp_path)
    host = run_folder.this_host()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"5 calls of 'shop' on {host} are in the log\n"
    ended = collect(tmp_path)
    assert (ended.code, ended.out) == (0, "nothing was left behind\n")
    assert calls(tmp_path) == 5
    assert list((tmp_path / "store" / ".spool").iterdir()) == []


def test_a_store_that_is_a_file(tmp_path: Path, state: Path) -> None:
    (tmp_path / "store").write_text("mine")
    assert_untouched(monitor(tmp_path, UNWRITTEN), "store: cannot be written: Not a directory")
    ended = collect(tmp_path)
    assert ended.code == 1
    assert "5 calls stay there: store: cannot be written: Not a directory" in ended.out
    document = json.loads(collect(tmp_path, "--json").out)
    [row] = document["runs"]
    assert (row["app"], row["calls"], row["stays"]) == ("shop", 0, 5)
    assert (tmp_path / "store").read_text() == "mine"
    (tmp_path / "store").unlink()
    assert collect(tmp_path).code == 0
    assert calls(tmp_path) == 5
    assert list(state.glob("*/*")) == []


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[..., Ended]:
    """Run a shell script for which the store is a file system of its own."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")

    def run(options: str, script: str, program: str) -> Ended:
        (tmp_path / "store").mkdir()
        line = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o {options} none store\n{script}"]
        ended = subprocess.run(
            [*line, sys.executable, program], cwd=tmp_path, capture_output=True, text=True
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


#: a line of a script: the program under the monitor; $0 is the interpreter, $1 the program
MONITORED = '"$0" -m aimatrix monitor --store store --app shop -- "$0" -c "$1"'


def test_a_store_that_is_read_only(
    tmp_path: Path, state: Path, mounted: Callable[..., Ended]
) -> None:
    ended = mounted("ro", MONITORED, UNWRITTEN)
    assert_untouched(ended, "store: cannot be written: Read-only file system")
    assert len(list(state.glob("*/*"))) == 1
    message = aimatrix("analyze", "--store", "store", folder=tmp_path).refusal()
    assert f"an earlier run left counts in {state}" in message
    assert collect(tmp_path).code == 0
    assert calls(tmp_path) == 5


def without_privileges(folder: Path, *words: str) -> Ended:
    """Run ``aimatrix WORDS`` for which permissions hold, also when it is root who tests."""
    drop = "-dac_override,-dac_read_search"
    line = ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"] if os.geteuid() == 0 else []
    if line and subprocess.run([*line, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root may read and write everything")
    ended = subprocess.run(
        [*line, sys.executable, "-m", "aimatrix", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_store_without_permission(tmp_path: Path, mode: int) -> None:
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(mode)
    words = ["--app", "shop", "--", sys.executable, "-c", UNWRITTEN]
    ended = without_privileges(tmp_path, "monitor", "--store", "store", *words)
    collected = without_privileges(tmp_path, "collect", "--store", "store")
    analyzed = without_privileges(tmp_path, "analyze", "--store", "store")
    store.chmod(0o700)
    assert_untouched(ended, "store: cannot be written: Permission denied")
    assert collected.code == 1
    assert "5 calls stay there: store: cannot be written: Permission denied" in collected.out
    assert analyzed.refusal().startswith("store: ")
    assert collect(tmp_path).code == 0
    assert calls(tmp_path) == 5


def test_a_disk_that_is_full(tmp_path: Path, mounted: Callable[..., Ended]) -> None:
    fill = """
file = os.open("store/filler", os.O_WRONLY | os.O_CREAT)
try:
    while True: os.write(file, bytes(512))
except OSError:
    sys.exit(7)
"""
    script = f"""
{MONITORED}
code=$?
rm store/filler
"$0" -m aimatrix collect --store store --json > collected.json
"$0" -m aimatrix analyze --store store --json > analyzed.json
ls -A store/.spool > spools.txt
exit $code
"""
    ended = mounted("size=1m", script, PROGRAM + fill)
    assert_untouched(ended, "store: cannot be written: No space left on device")
    [row] = json.loads((tmp_path / "collected.json").read_text())["runs"]
    assert (row["app"], row["calls"], row["stays"], row["reason"]) == ("shop", 5, 0, None)
    assert json.loads((tmp_path / "analyzed.json").read_text())["calls"] == 5
    assert (tmp_path / "spools.txt").read_text() == ""


def test_a_disk_without_room_for_counts_stops_no_command(
    tmp_path: Path, mounted: Callable[..., Ended]
) -> None:
    pytest.importorskip("torch")
    program = "import torch; torch.relu(torch.ones(2)); print('ran'); raise SystemExit(7)"
    ended = mounted("size=64k", MONITORED, program)
    assert (ended.code, ended.out) == (7, "ran\n")
    assert "No space left on device" in told(ended)


def other_host(folder: Path) -> Path:
    """Make the spool that a killed monitor left that of another host."""
    [spool] = (folder / "store" / ".spool").iterdir()
    configuration = json.loads((spool / "agent.json").read_text())
    (spool / "agent.json").write_text(json.dumps({**configuration, "host": "pod-1"}))
    return spool


def test_runs_of_other_hosts_come_in_when_they_are_said_to_be_gone(tmp_path: Path) -> None:
    kill_monitor(tmp_path)
    spool = other_host(tmp_path)
    ended = collect(tmp_path)
    assert ended.code == 1
    assert "5 calls stay there: it is of the host 'pod-1'" in ended.out
    assert "--any-host" in ended.out
    ended = collect(tmp_path, "--any-host")
    assert (ended.code, ended.out) == (0, "5 calls of 'shop' on pod-1 are in the log\n")
    assert not spool.exists()
    assert calls(tmp_path) == 5


def test_a_lock_keeps_a_run_of_another_host_that_goes_on(tmp_path: Path) -> None:
    kill_monitor(tmp_path)
    spool = other_host(tmp_path)
    with (spool / "agent.json").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = collect(tmp_path, "--any-host")
        assert (ended.code, ended.out) == (0, "nothing was left behind\n")
    assert spool.exists()


def test_a_spool_of_another_release_stays(tmp_path: Path) -> None:
    kill_monitor(tmp_path)
    [spool] = (tmp_path / "store" / ".spool").iterdir()
    (spool / "agent.json").write_text("{}")
    ended = collect(tmp_path)
    assert ended.code == 1
    assert "5 calls stay there: its agent.json is damaged, or of another release" in ended.out


def test_a_damaged_file_of_one_process_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    kill_monitor(tmp_path)
    [spool] = (tmp_path / "store" / ".spool").iterdir()
    damaged = spool / "1-1.counts"
    damaged.write_bytes(b"what is this?" * 20)
    ended = collect(tmp_path)
    assert ended.code == 1
    assert "5 calls of 'shop' on" in ended.out
    assert "1-1.counts: is not a spool of version 3" in ended.out
    assert damaged.exists()
    assert calls(tmp_path) == 5


def test_remains_of_folders_go_after_a_day(tmp_path: Path) -> None:
    spools = tmp_path / "store" / ".spool"
    for name in ("old", "new"):
        (spools / name).mkdir(parents=True)
        (spools / name / "agent.json.tmp").write_text("")
    then = time.time() - 2 * 86400
    os.utime(spools / "old", (then, then))
    assert collect(tmp_path).code == 0
    assert [path.name for path in spools.iterdir()] == ["new"]


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert collect(tmp_path).refusal() == "store: no such store"
    assert list(tmp_path.iterdir()) == []
