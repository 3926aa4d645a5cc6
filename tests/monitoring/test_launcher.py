"""The monitor between a command and its user: nothing of it shows, and nothing counted is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimatrix.errors import InputError
from aimatrix.monitoring import WindowCount, launcher, recover, run_monitored
from aimatrix.monitoring.agent.spool import SpoolTally

# counts without torch: what the agent has loaded is there to be used
COUNT = """
import importlib, os, sys, time
from _aimatrix_agent.spool import SpoolTally
tally = SpoolTally(os.environ["AIMATRIX_SPOOL"], 16)
description = {"name": "aten::x", "overload": "", "phase": "forward", "arguments": {}}
slot = tally.open(lambda: description)
"""

# a program that monitors its arguments, counts to a file and ends as its command ended
MONITOR = """
import json, sys
from pathlib import Path
from aimatrix.monitoring import end_like, run_monitored
counts = []
def keep(new):
    counts.extend([count.raw.name, count.calls] for count in new)
    Path(sys.argv[1], "counts.json").write_text(json.dumps(counts))
end_like(run_monitored(
    sys.argv[2:], spool=Path(sys.argv[1], "spool"), attributes={}, window_seconds=3600,
    on_window=keep,
))
"""


def count_program(rest: str) -> str:
    return COUNT + textwrap.dedent(rest)


@pytest.fixture
def monitor(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start a monitor in a process of its own."""

    def start(*command: str, **options: object) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-c", MONITOR, str(tmp_path), *command]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    return start


def test_exit_codes_and_bytes_pass_through(monitor, tmp_path: Path) -> None:
    child = monitor("sh", "-c", "cat; printf '\\377\\000' >&2; exit 7", stdin=subprocess.PIPE)
    content = os.urandom(300_000)
    out, err = child.communicate(content)
    assert (out, err, child.returncode) == (content, b"\xff\x00", 7)
    assert not (tmp_path / "spool").exists()


def test_inherited_files_reach_the_command(monitor) -> None:
    reading, writing = os.pipe()
    program = f"import os; os.write({writing}, b'through')"
    child = monitor(sys.executable, "-c", program, pass_fds=[writing])
    os.close(writing)
    child.communicate()
    with os.fdopen(reading) as file:
        assert file.read() == "through"


def test_a_signal_that_kills_the_command_ends_the_monitor_alike(monitor) -> None:
    child = monitor("sh", "-c", "kill -ABRT $$")
    child.communicate()
    assert child.returncode == -signal.SIGABRT


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT"])
def test_signals_reach_the_command_and_its_answer_comes_back(monitor, name: str) -> None:
    script = f"trap 'echo got; exit 9' {name.removeprefix('SIG')}; echo ready; read line"
    # a session of its own: no terminal sends it signals
    child = monitor("sh", "-c", script, stdin=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(getattr(signal, name))
    assert child.wait(20) == 9  # its input is still open: nothing else has ended it
    out, _ = child.communicate()
    assert out == b"got\n"
    assert child.returncode == 9


def test_a_terminal_interrupts_the_command_once_and_the_monitor_not_at_all(tmp_path) -> None:
    command = """
        import signal, time
        received = []
        signal.signal(signal.SIGINT, lambda *_: received.append(1))
        print("ready", flush=True)
        while not received:
            time.sleep(0.01)
        time.sleep(0.5)
        print(len(received), flush=True)
    """
    program = [sys.executable, "-c", textwrap.dedent(command)]
    line = [sys.executable, "-c", MONITOR, str(tmp_path), *program]
    enter = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    start = f"{enter}; os.execv(sys.argv[1], sys.argv[1:])"
    user, terminal = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", start, *line],
        stdin=terminal,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(terminal)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.write(user, b"\x03")  # Ctrl-C
    out, _ = child.communicate()
    os.close(user)
    assert (out, child.returncode) == (b"1\n", 0)


def test_the_default_action_of_a_signal_keeps_what_was_counted(monitor, tmp_path: Path) -> None:
    program = count_program("""
        tally.add(slot)
        print("ready", flush=True)
        time.sleep(60)
    """)
    child = monitor(sys.executable, "-c", program)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == -signal.SIGTERM
    assert json.loads((tmp_path / "counts.json").read_text()) == [["aten::x", 1]]


def test_a_killed_monitor_leaves_the_counts_to_recover(monitor, tmp_path: Path) -> None:
    program = count_program("""
        for _ in range(5): tally.add(slot)
        print("ready", flush=True)
        sys.stdin.read()
        tally.add(slot)
    """)
    child = monitor(sys.executable, "-c", program, stdin=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()  # the command goes on, and ends by itself
    found: list[WindowCount] = []
    recover(tmp_path / "spool", window_seconds=60, on_window=found.extend)
    assert [(count.raw.name, count.calls) for count in found] == [("aten::x", 6)]
    assert not (tmp_path / "spool").exists()
    with pytest.raises(InputError, match="is not a spool"):
        recover(tmp_path / "spool", window_seconds=60, on_window=found.extend)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "no command to monitor"),
        (["no-such-command-at-all"], "no-such-command-at-all: command not found"),
        (["/no/such/file"], "/no/such/file: command not found"),
    ],
)
def test_a_command_that_cannot_be_found_is_named(watch, command: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        watch(command=command)


def test_a_file_that_cannot_be_run_is_named(watch, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("echo")
    with pytest.raises(InputError, match="script: is not executable"):
        watch(command=[str(path)])
    path.chmod(0o755)
    with pytest.raises(InputError, match="script: cannot be started: Exec format error"):
        watch(command=[str(path)])
    assert not (tmp_path / "spool").exists()


def test_a_spool_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="spool: cannot be made as a spool"):
        run_monitored(
            ["true"],
            spool=tmp_path / "file" / "spool",
            attributes={},
            window_seconds=60,
            on_window=lambda counts: None,
        )


def test_a_window_has_to_have_a_length(watch) -> None:
    with pytest.raises(InputError, match="a window of 0 seconds"):
        watch(command=["true"], window_seconds=0)


def test_windows_lie_on_multiples_of_their_length_and_share_all_calls_out(watch) -> None:
    outcome = watch(
        count_program("""
        for _ in range(12):
            tally.add(slot)
            time.sleep(0.1)
        """),
        window_seconds=0.25,
    )
    assert sum(count.calls for count in outcome.counts) == 12
    starts = [count.window_start for count in outcome.counts]
    assert len(set(starts)) == len(starts) >= 3
    assert starts == sorted(starts)
    for count in outcome.counts:
        assert count.window_seconds == 0.25
        assert count.window_start.timestamp() % 0.25 == 0
    age = datetime.now(UTC) - starts[-1]
    assert 0 <= age.total_seconds() < 60


def test_counts_that_could_not_be_handed_on_come_with_the_next(watch) -> None:
    calls: list[list[WindowCount]] = []

    def fail_twice(counts: list[WindowCount]) -> None:
        calls.append(counts)
        if len(calls) < 3:
            raise OSError("the disk is full")

    outcome = watch(
        count_program("""
        for _ in range(8):
            tally.add(slot)
            time.sleep(0.1)
        print("done")
        """),
        window_seconds=0.2,
        on_window=fail_twice,
    )
    assert (outcome.returncode, outcome.stdout) == (0, "done\n")
    lines = outcome.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("aimatrix: ") and "the disk is full" in line for line in lines)
    assert sum(count.calls for batch in calls[2:] for count in batch) == 8
    assert not outcome.spool.exists()


def test_a_spool_that_is_never_handed_on_stays(watch) -> None:
    def fail(counts: list[WindowCount]) -> None:
        raise OSError("the disk is full")

    outcome = watch(count_program("tally.add(slot)"), on_window=fail)
    assert outcome.returncode == 0
    assert outcome.spool.exists()
    assert str(outcome.spool) in outcome.stderr
    found: list[WindowCount] = []
    recover(outcome.spool, window_seconds=60, on_window=found.extend)
    assert [count.calls for count in found] == [1]
    assert time.time() - found[0].window_start.timestamp() < 3600


def test_what_was_handed_on_before_is_not_recovered_again(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "agent.json").write_text("{}")
    tally = SpoolTally(str(spool), 16)
    description = {"name": "aten::x", "overload": "", "phase": "forward", "arguments": {}}
    slot = tally.open(lambda: description)
    tally.add(slot)
    reader = launcher.SpoolReader(spool)
    assert [delta.calls for delta in reader.read()] == [1]
    reader.delivered()
    for _ in range(4):
        tally.add(slot)
    found: list[WindowCount] = []
    recover(spool, window_seconds=60, on_window=found.extend)
    assert [count.calls for count in found] == [4]


def test_the_launcher_works_outside_the_main_thread(watch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(watch, command=["sh", "-c", "exit 5"]).result()
    assert outcome.returncode == 5


def test_the_callers_signal_handlers_come_back(watch) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    watch(command=["true"])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
