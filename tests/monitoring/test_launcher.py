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
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimatrix.errors import InputError
from aimatrix.monitoring import Run, WindowCount, any_left, bring_in, launcher, run_folder
from aimatrix.monitoring.agent.spool import COUNTS

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
from aimatrix.monitoring import Run, end_like, run_monitored, this_host
counts = []
def keep(new):
    counts.extend([count.raw.name, count.calls] for count in new)
    Path(sys.argv[1], "counts.json").write_text(json.dumps(counts))
end_like(run_monitored(
    sys.argv[2:], Run("shop", this_host(), 3600.0), spool=Path(sys.argv[1], "spools", "run"),
    attributes={}, on_window=keep,
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
    assert not (tmp_path / "spools" / "run").exists()


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
    number = getattr(signal, name)
    child = monitor(
        *("sh", "-c", script),
        stdin=subprocess.PIPE,
        start_new_session=True,  # no terminal sends it signals
        # a shell cannot trap what it finds ignored, as under nohup
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(number)
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


class Log:
    """Where counts are brought in."""

    def __init__(self) -> None:
        self.found: list[tuple[Run, str, int]] = []

    def __call__(self, run: Run, counts: list[WindowCount]) -> None:
        self.found += [(run, count.raw.name, count.calls) for count in counts]

    @property
    def calls(self) -> int:
        return sum(calls for _, _, calls in self.found)


@pytest.fixture
def killed(monitor, tmp_path: Path) -> Callable[[], None]:
    """A monitor that was killed after 5 calls. Called: its command counts 1 more and ends."""
    program = count_program("""
        for _ in range(5): tally.add(slot)
        print(os.getpid(), flush=True)
        sys.stdin.read()
        tally.add(slot)
    """)
    child = monitor(sys.executable, "-c", program, stdin=subprocess.PIPE)
    assert child.stdout is not None
    command = int(child.stdout.readline())
    bring_in(tmp_path / "spools", refuse)  # a run that goes on is left alone
    assert not any_left(tmp_path / "spools")
    child.kill()
    child.wait()

    def end_command() -> None:
        child.communicate()
        with suppress(ProcessLookupError):
            while True:  # its end of the pipe is closed a little before it is gone
                os.kill(command, 0)
                time.sleep(0.01)

    return end_command


def refuse(run: Run, counts: list[WindowCount]) -> None:
    raise AssertionError("these counts are not to be brought in")


def test_what_a_killed_monitor_left_is_brought_in_once(killed, tmp_path, capfd) -> None:
    spools = tmp_path / "spools"
    killed()  # the command goes on, and ends by itself
    assert any_left(spools)
    log = Log()
    bring_in(spools, log)
    run = Run("shop", run_folder.this_host(), 3600.0)
    assert log.found == [(run, "aten::x", 6)]
    assert list(spools.iterdir()) == []
    assert not any_left(spools)
    [line] = capfd.readouterr().err.splitlines()
    assert line == "aimatrix: 6 calls that an earlier run of 'shop' had left behind are in the log"
    bring_in(spools, refuse)


def test_a_command_that_outlives_its_killed_monitor_is_not_disturbed(killed, tmp_path) -> None:
    spools, log = tmp_path / "spools", Log()
    bring_in(spools, log)
    assert log.calls == 5
    assert not any_left(spools)  # its files are there, and all in them is in the log
    assert len(list(spools.rglob(f"*{COUNTS}"))) == 1
    killed()
    assert any_left(spools)
    bring_in(spools, log)
    assert log.calls == 6
    assert list(spools.iterdir()) == []


def test_two_monitors_do_not_bring_in_the_same(killed, tmp_path: Path) -> None:
    spools, log = tmp_path / "spools", Log()
    killed()

    def meanwhile(run: Run, counts: list[WindowCount]) -> None:
        assert not any_left(spools)
        bring_in(spools, refuse)
        log(run, counts)

    bring_in(spools, meanwhile)
    assert log.calls == 6


def test_what_cannot_be_brought_in_stays(killed, tmp_path: Path, capfd) -> None:
    def fail(run: Run, counts: list[WindowCount]) -> None:
        raise OSError("the disk is full")

    spools, log = tmp_path / "spools", Log()
    killed()
    bring_in(spools, fail)
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("aimatrix: ")
    assert "counts of an earlier run stay there: the disk is full" in line
    bring_in(spools, log)
    assert log.calls == 6


@pytest.mark.parametrize(
    "configuration", ["", "[]", '{"app": "shop"}', '{"app":"a","host":"other","window_seconds":60}']
)
def test_folders_of_others_are_left_alone(tmp_path: Path, configuration: str) -> None:
    folder = tmp_path / "spools" / "run"
    folder.mkdir(parents=True)
    (folder / "1-1.counts").write_bytes(b"foreign")
    (folder / "agent.json").write_text(configuration)
    (tmp_path / "spools" / "file").write_text("mine")
    assert not any_left(tmp_path / "spools")
    bring_in(tmp_path / "spools", refuse)
    assert (folder / "1-1.counts").read_bytes() == b"foreign"


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
    assert not (tmp_path / "spools" / "run").exists()


def test_a_command_runs_unwatched_where_no_spool_can_be_made(watch, tmp_path: Path) -> None:
    (tmp_path / "spools").write_text("a file")
    outcome = watch(command=["sh", "-c", "echo $AIMATRIX_SPOOL; exit 7"])
    assert (outcome.returncode, outcome.stdout, outcome.counts) == (7, "\n", [])
    [line] = outcome.stderr.splitlines()
    assert line.startswith(f"aimatrix: {outcome.spool}: cannot be made as a spool: ")
    assert line.endswith("; the command runs unwatched")


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
    [line] = outcome.stderr.splitlines()  # the same failure is told once
    assert line.startswith("aimatrix: ")
    assert "the disk is full" in line
    assert sum(count.calls for batch in calls[2:] for count in batch) == 8
    assert not outcome.spool.exists()


def test_a_failure_is_told_again_when_it_changes(watch) -> None:
    reasons = iter(["full", "full", "full", "gone", "gone"])

    def fail(counts: list[WindowCount]) -> None:
        raise OSError(next(reasons, "at the end"))

    outcome = watch(
        count_program("""
        tally.add(slot)
        time.sleep(1.7)
        """),
        window_seconds=0.25,
        on_window=fail,
    )
    lines = outcome.stderr.splitlines()
    assert [line.rsplit(": ", 1)[1] for line in lines[:2]] == ["full", "gone"]
    assert len(lines) <= 4


def test_a_spool_that_is_never_handed_on_stays_for_the_next_monitor(watch) -> None:
    def fail(counts: list[WindowCount]) -> None:
        raise OSError("the disk is full")

    outcome = watch(count_program("tally.add(slot)"), on_window=fail)
    assert outcome.returncode == 0
    assert outcome.spool.exists()
    [line] = outcome.stderr.splitlines()
    assert line.startswith(
        f"aimatrix: {outcome.spool}: holds what could not be handed on (the disk"
    )
    log, starts = Log(), []

    def keep(run: Run, counts: list[WindowCount]) -> None:
        log(run, counts)
        starts.extend(count.window_start for count in counts)

    bring_in(outcome.spool.parent, keep)
    assert log.calls == 1
    assert time.time() - starts[0].timestamp() < 2 * 3600
    assert not outcome.spool.exists()


def test_files_of_processes_that_have_ended_go_while_the_command_runs_on(watch) -> None:
    outcome = watch(
        count_program("""
        from pathlib import Path
        tally.add(slot)
        for _ in range(3):
            child = os.fork()
            if child == 0:
                tally.reset()
                tally.add(tally.open(lambda: description))
                os._exit(0)
            os.waitpid(child, 0)
        spool = Path(os.environ["AIMATRIX_SPOOL"])
        deadline = time.time() + 20
        while len(list(spool.glob("*.counts"))) > 1 and time.time() < deadline:
            time.sleep(0.05)
        print(sorted(path.suffix for path in spool.iterdir()))
        """),
        window_seconds=0.25,
    )
    assert outcome.stdout == "['.counts', '.delivered', '.json', '.jsonl']\n"
    assert sum(count.calls for count in outcome.counts) == 4


def test_the_launcher_works_outside_the_main_thread(watch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(watch, command=["sh", "-c", "exit 5"]).result()
    assert outcome.returncode == 5


def test_the_callers_signal_handlers_come_back(watch) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    watch(command=["true"])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_process_that_outlives_the_command_is_collected_later(watch, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "PATIENCE", 0.1)
    outcome = watch(
        count_program("""
        tally.add(slot)
        reading, writing = os.pipe()
        if os.fork() == 0:
            tally.reset()
            slot = tally.open(lambda: description)
            tally.add(slot)
            parent = os.getppid()
            os.write(writing, b"x")
            os.close(1), os.close(2)
            while os.getppid() == parent:
                time.sleep(0.01)
            time.sleep(3)
            tally.add(slot)
            os._exit(0)
        os.read(reading, 1)
        """)
    )
    assert sum(count.calls for count in outcome.counts) == 2
    assert outcome.stderr == (
        "aimatrix: processes of the command go on; what they count, `aimatrix collect` brings in\n"
    )
    log = Log()
    deadline = time.time() + 20
    while outcome.spool.exists() and time.time() < deadline:
        bring_in(outcome.spool.parent, log)
        time.sleep(0.1)
    assert log.calls == 1
