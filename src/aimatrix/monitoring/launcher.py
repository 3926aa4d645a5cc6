"""Runs a command with the agent inside, and hands on what it counts, window by window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from aimatrix.errors import InputError
from aimatrix.monitoring import run_folder
from aimatrix.monitoring.agent.activation import CAPTURES, FALLBACK, TOLD
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.delivery import Delivery, OnWindow
from aimatrix.monitoring.native import (
    SOURCES,
    BuildError,
    Unavailable,
    cache_folder,
    digest,
    ensure,
)
from aimatrix.monitoring.run_folder import Run
from aimatrix.monitoring.signals import SignalForwarder

BOOT = Path(__file__).parent / "boot"

#: distinct signatures (per thread) that a process can hold; 24 bytes of disk each
CAPACITY = 65536

#: seconds that processes of the command may outlive it without a word about them
PATIENCE = 2.0

#: seconds that counting every call may take beyond the budget, before calls are sampled
ALLOWANCE = 2.0


def run_monitored(
    command: Sequence[str],
    run: Run,
    *,
    spool: Path,
    attributes: Mapping[str, Sequence[str]],
    on_window: OnWindow,
    capture: str = "native",
    budget: float = 0.05,
    time: bool = False,
    warps: bool = False,
) -> int:
    """Run ``command`` to its end and return its exit code, negative for a signal's number.

    Standard input, output and error, other open files and signals are the command's own. What it
    and all processes that it starts count is handed to ``on_window`` at the end of every window
    and at the end of the command. If ``on_window`` raises, one line tells so, and the same counts
    are handed on again, with later ones, at the next end of a window. ``spool`` is a folder of
    this run alone; it is removed once all in it has been handed on. If it cannot be made, one line
    tells so and the command runs unwatched.

    attributes: operator name (``aten::convolution``) -> arguments besides tensors to keep.
    budget: share of the application's time that counting may take before calls are sampled, and
    their counts estimated; 0 for no limit. time: also measure how long each call takes.
    warps: have traces of single calls of its models on a GPU put into ``spool``.
    Raises InputError when the command cannot be started, or there is no such capture, window or
    budget; then nothing was started.
    """
    _check_command(command)
    if not 0 <= budget <= 1:
        raise InputError(f"a budget of {budget:.0%} of the time: it has to be from 0% to 100%")
    if not run.window_seconds > 0:
        raise InputError(f"a window of {run.window_seconds} seconds: it has to be longer than 0")
    if capture not in CAPTURES:
        raise InputError(f"no capture named {capture!r}; there are {', '.join(sorted(CAPTURES))}")
    agent = {
        "capture": capture,
        "capacity": CAPACITY,
        "attributes": {name: list(names) for name, names in attributes.items()},
        "budget": budget,
        "allowance": ALLOWANCE,
        "time": time,
        "warps": warps,
        "library": _library_folder(),
        "sources": digest(SOURCES),
    }
    spool = spool.absolute()
    forwarder = SignalForwarder()
    with forwarder.forwarding(), _begun(spool, run, agent) as watched:
        delivery = Delivery(spool, run.window_seconds, on_window)
        if watched and capture == "native":
            _prepare_library(command, spool)
        child = _start(command, _environment(spool, warps) if watched else None)
        forwarder.to(child)
        ended = _when_ended(child)
        while not ended.wait(delivery.seconds_left() if watched else None):
            delivery.end_window()
        if watched:
            _end(spool, delivery)
    return child.returncode


def _library_folder() -> str:
    """Where agents look for the native library; empty where this user can have none."""
    try:
        return str(cache_folder(os.environ))
    except BuildError:
        return ""


def _prepare_library(command: Sequence[str], spool: Path) -> None:
    """Have the native library there before the command starts, or tell why there is none."""
    library = ensure(command)
    if isinstance(library, Unavailable) and library.torch is not None:
        notice(f"{library.reason}; {FALLBACK}")
        with suppress(OSError):  # else the agent tells it once more
            (spool / TOLD).touch()


@contextmanager
def _begun(spool: Path, run: Run, agent: dict[str, Any]) -> Iterator[bool]:
    """The folder of a run that goes on while inside; False when it could not be made."""
    try:
        lock = run_folder.begin(spool, run, agent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        notice(f"{spool}: cannot be made as a spool: {reason}; the command runs unwatched")
        yield False
        return
    with lock:
        try:
            yield True
        except InputError:  # the command could not be started
            run_folder.remove(spool)
            raise


def _end(spool: Path, delivery: Delivery) -> None:
    delivery.end_run()
    patience = monotonic() + PATIENCE
    while not delivery.failure and not delivery.all_ended and monotonic() < patience:
        sleep(0.05)
        delivery.end_run()
    if delivery.failure:
        notice(
            f"{spool}: holds what could not be handed on ({delivery.failure});"
            " `aimatrix collect` brings it in"
        )
    elif delivery.all_ended:
        run_folder.remove(spool)
    else:
        notice("processes of the command go on; what they count, `aimatrix collect` brings in")


def _check_command(command: Sequence[str]) -> None:
    if not command:
        raise InputError("no command to monitor; write it after --")
    if shutil.which(command[0]) is not None:
        return
    if os.path.dirname(command[0]) and Path(command[0]).is_file():
        raise InputError(f"{command[0]}: is not executable; make it so, or start its interpreter")
    raise InputError(f"{command[0]}: command not found")


def _environment(spool: Path, warps: bool) -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    # torch's profiler else writes lines of its own among the command's
    quiet = {"KINETO_LOG_LEVEL": "99"} if warps else {}
    return {
        **quiet,
        **os.environ,
        "PYTHONPATH": f"{BOOT}{os.pathsep}{path}" if path else str(BOOT),
        "AIMATRIX_SPOOL": str(spool),
    }


def _start(command: Sequence[str], environment: dict[str, str] | None) -> subprocess.Popen[bytes]:
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
