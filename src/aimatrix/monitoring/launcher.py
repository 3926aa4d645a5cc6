"""Runs a command with the agent inside, and hands on what it counts, window by window."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aimatrix.dialects.raw import RawCall
from aimatrix.errors import InputError
from aimatrix.monitoring.agent.activation import CAPTURES, CONFIGURATION
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.spool import OVERFLOW
from aimatrix.monitoring.signals import SignalForwarder
from aimatrix.monitoring.spool_reader import SpoolReader

BOOT = Path(__file__).parent / "boot"

#: distinct signatures (per thread) that a process can hold; 8 bytes of disk each
CAPACITY = 65536


@dataclass(frozen=True, slots=True)
class WindowCount:
    """How often a process made a call in a time window.

    window_start: UTC, a multiple of window_seconds since the epoch.
    """

    raw: RawCall
    calls: int
    window_start: datetime
    window_seconds: float
    process: str


OnWindow = Callable[[list[WindowCount]], None]


def run_monitored(
    command: Sequence[str],
    *,
    spool: Path,
    attributes: Mapping[str, Sequence[str]],
    window_seconds: float,
    on_window: OnWindow,
    capture: str = "dispatch",
) -> int:
    """Run ``command`` to its end and return its exit code, negative for a signal's number.

    Standard input, output and error, other open files and signals are the command's own. What it
    and all processes that it starts count is handed to ``on_window`` at the end of every window
    and at the end of the command. If ``on_window`` raises, one line tells so, and the same counts
    are handed on again, with later ones, at the next end of a window. ``spool`` is a folder of
    this run alone; it is removed once all in it has been handed on.

    attributes: operator name (``aten::convolution``) -> arguments besides tensors to keep.
    Raises InputError when the command or the spool cannot be used; then nothing was started.
    """
    _check_command(command)
    delivery = _Delivery(spool.absolute(), window_seconds, on_window)
    _prepare_spool(spool, attributes, capture)
    forwarder = SignalForwarder()
    with forwarder.forwarding():
        try:
            child = _start(command, _environment(spool.absolute()))
        except InputError:
            shutil.rmtree(spool, ignore_errors=True)
            raise
        forwarder.to(child)
        ended = _when_ended(child)
        while not ended.wait(delivery.seconds_left()):
            delivery.hand_on()
        if delivery.hand_on():
            shutil.rmtree(spool, ignore_errors=True)
        else:
            notice(f"{spool}: holds what could not be handed on; `recover` reads it")
    return child.returncode


def recover(spool: Path, *, window_seconds: float, on_window: OnWindow) -> None:
    """Hand on what is left in the spool of a run whose launcher was killed, and remove it.

    The counts go into the window in which they were last written. Raises InputError when there
    is no such spool, and whatever ``on_window`` raises; the spool is kept then.
    """
    if not (spool / CONFIGURATION).is_file():
        raise InputError(f"{spool}: is not a spool of `aimatrix monitor`; name the folder of a run")
    delivery = _Delivery(spool, window_seconds, on_window)
    written = max(file.stat().st_mtime for file in spool.iterdir())
    delivery.window_start = _aligned(written, window_seconds)
    delivery.deliver()
    shutil.rmtree(spool)


class _Delivery:
    """Hands on the counts of windows that have ended."""

    def __init__(self, spool: Path, window_seconds: float, on_window: OnWindow) -> None:
        if not window_seconds > 0:
            raise InputError(f"a window of {window_seconds} seconds: it has to be longer than 0")
        self._reader = SpoolReader(spool)
        self._window_seconds = window_seconds
        self._on_window = on_window
        self.window_start = _aligned(time.time(), window_seconds)

    def seconds_left(self) -> float:
        """Seconds to the end of the window."""
        return max(self.window_start + self._window_seconds - time.time(), 0.0)

    def hand_on(self) -> bool:
        """Hand on what the window counted, and begin the next; whether that went well."""
        try:
            self.deliver()
        except Exception as error:
            notice(f"what was counted could not be handed on, and is kept: {error}")
            return False
        finally:
            self.window_start = _aligned(time.time(), self._window_seconds)
        return True

    def deliver(self) -> None:
        """Hand on all that is in the spool; what ``on_window`` raises is passed on."""
        start = datetime.fromtimestamp(self.window_start, UTC)
        counts = [
            WindowCount(delta.raw, delta.calls, start, self._window_seconds, delta.process)
            for delta in self._reader.read()
        ]
        overflow = sum(count.calls for count in counts if count.raw.name == OVERFLOW["name"])
        if overflow:
            notice(f"{overflow} calls were counted without their shapes, which were too many")
        if counts:
            self._on_window(counts)
        self._reader.delivered()


def _aligned(seconds: float, window_seconds: float) -> float:
    return seconds // window_seconds * window_seconds


def _check_command(command: Sequence[str]) -> None:
    if not command:
        raise InputError("no command to monitor; write it after --")
    if shutil.which(command[0]) is not None:
        return
    if os.path.dirname(command[0]) and Path(command[0]).is_file():
        raise InputError(f"{command[0]}: is not executable; make it so, or start its interpreter")
    raise InputError(f"{command[0]}: command not found")


def _prepare_spool(spool: Path, attributes: Mapping[str, Sequence[str]], capture: str) -> None:
    if capture not in CAPTURES:
        raise InputError(f"no capture named {capture!r}; there are {', '.join(sorted(CAPTURES))}")
    configuration = {
        "capture": capture,
        "capacity": CAPACITY,
        "attributes": {name: list(names) for name, names in attributes.items()},
    }
    try:
        spool.mkdir(parents=True)
        (spool / CONFIGURATION).write_text(json.dumps(configuration), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{spool}: cannot be made as a spool: {error.strerror}") from error


def _environment(spool: Path) -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{BOOT}{os.pathsep}{path}" if path else str(BOOT),
        "AIMATRIX_SPOOL": str(spool),
    }


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    sys.stdout.flush()
    try:
        # files that our caller opened for the command are to reach it; ours are not inheritable
        return subprocess.Popen(list(command), env=environment, close_fds=False)
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be started: {error.strerror}") from error


def _when_ended(child: subprocess.Popen[bytes]) -> threading.Event:
    """An event that is set as soon as the child has ended; Popen.wait(timeout) would poll."""
    ended = threading.Event()

    def wait() -> None:
        child.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended
