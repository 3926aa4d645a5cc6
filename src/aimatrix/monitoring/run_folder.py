"""The folder (spool) of one run: its configuration, and the lock that says that it goes on.

The launcher holds a lock on the configuration file for its life, so that others can tell a run
that goes on from one whose launcher is gone, however that ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from aimatrix.monitoring.agent.activation import CONFIGURATION


@dataclass(frozen=True, slots=True)
class Run:
    """What the counts of a run are to be filed under."""

    app: str
    host: str
    window_seconds: float


def this_host() -> str:
    """The name of this machine in the log."""
    return encodable(socket.gethostname())


def encodable(name: str) -> str:
    """``name`` with a mark in place of what is no text: file names may hold any bytes."""
    return name.encode(errors="replace").decode()


def begin(spool: Path, run: Run, agent: dict[str, Any]) -> TextIO:
    """Make the folder of a run; it counts as going on until the returned file is closed.

    agent: what the agent reads of the configuration. Raises OSError or ValueError when the folder
    cannot be made; nothing of it is left then.
    """
    spool.mkdir(parents=True)
    try:
        return _configure(spool, {**agent, **asdict(run)})
    except BaseException:
        shutil.rmtree(spool, ignore_errors=True)
        raise


def remove(spool: Path) -> None:
    """Remove the folder of a run of which everything has been handed on."""
    # first what makes it a run: should the rest stay half-removed, no one counts it again
    with suppress(OSError):
        (spool / CONFIGURATION).unlink(missing_ok=True)
        shutil.rmtree(spool)


def folders(spools: Path) -> list[Path]:
    """The folders of all runs in ``spools``, whether they go on or not."""
    try:
        return sorted(path for path in spools.iterdir() if path.is_dir())
    except OSError:
        return []  # no monitor has run here yet


@contextmanager
def claimed(spool: Path) -> Iterator[Run | None]:
    """The run of a folder that its launcher has left, for us alone while inside; else None.

    None: a run that goes on, one that another monitor is about to bring in, one of another host.
    """
    with ExitStack() as held:
        yield _claim(spool, held)


def _claim(spool: Path, held: ExitStack) -> Run | None:
    path = spool / CONFIGURATION
    try:
        file = held.enter_context(path.open("r+", encoding="utf-8"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run = _run(file)
        # it may have been brought in and removed before we had the lock
        there = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return None
    return run if there and run is not None and run.host == this_host() else None


def _configure(spool: Path, configuration: dict[str, Any]) -> TextIO:
    temporary = spool / f"{CONFIGURATION}.tmp"
    file = temporary.open("w", encoding="utf-8")
    try:
        json.dump(configuration, file)
        file.flush()
        with suppress(OSError):  # a file system without locks: no one else gets one either
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.replace(temporary, spool / CONFIGURATION)  # whole, and locked, from the first
    except BaseException:
        file.close()
        raise
    return file


def _run(file: TextIO) -> Run | None:
    """The run that a configuration file names; None when it is of another release."""
    try:
        stated = json.load(file)
        return Run(str(stated["app"]), str(stated["host"]), float(stated["window_seconds"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
