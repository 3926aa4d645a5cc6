"""The folder (spool) of one run: its configuration, and the lock that says that it goes on.

The launcher holds a lock on the configuration file for its life, so that others can tell a run
that goes on from one whose launcher is gone, however that ended. Runs count inside the store that
they are for, or, where that cannot be written to, in a folder of their user.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from aimatrix.errors import InputError
from aimatrix.monitoring.agent.activation import CONFIGURATION

#: folder in a store where runs that are going on count
SPOOLS = ".spool"

#: seconds after which a folder without a configuration is not about to get one
_MADE = 86400.0


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


def spool_folders(store: Path) -> tuple[Path, Path]:
    """Where runs for ``store`` count: in the store, and where that cannot be written to."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    place = os.path.realpath(store)
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return store / SPOOLS, base / "aimatrix" / "spool" / digest


def new_spool(store: Path) -> Path:
    """A folder, not made yet, for a new run for ``store``."""
    inside, beside = spool_folders(store)
    return (inside if _can_be_made(inside) else beside) / uuid4().hex


def _can_be_made(folder: Path) -> bool:
    above = map(str, (folder, *folder.absolute().parents))
    nearest = next(filter(os.path.exists, above))  # the root is there
    return os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)


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
    """The folders of all runs in ``spools``, whether they go on or not.

    Raises OSError when they cannot be read.
    """
    try:
        return sorted(path for path in spools.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []  # no monitor has run here yet


@contextmanager
def claimed(spool: Path, *, any_host: bool = False) -> Iterator[Run | None]:
    """The run of a folder that its launcher has left, for us alone while inside; else None.

    None: a run that goes on, or that another monitor is about to bring in. any_host: take also
    those of other hosts, and those where no lock tells whether they go on. Raises InputError for
    one that may not be claimed, OSError for one that cannot be.
    """
    with ExitStack() as held:
        yield _claim(spool, held, any_host)


def _claim(spool: Path, held: ExitStack, any_host: bool) -> Run | None:
    path = spool / CONFIGURATION
    try:
        file = held.enter_context(path.open("r+", encoding="utf-8"))
        if not _lock(file, any_host):
            return None
        # it may have been brought in and removed before we had the lock
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return None
    except FileNotFoundError:
        _remove_unmade(spool)
        return None
    run = _run(file)
    if run is None:
        raise InputError(f"its {CONFIGURATION} is damaged, or of another release of aimatrix")
    if run.host != this_host() and not any_host:
        raise InputError(
            f"it is of the host {run.host!r}: run `aimatrix collect` there, or, when that host is"
            " gone, with --any-host here"
        )
    return run


def _lock(file: TextIO, any_host: bool) -> bool:
    """Lock the file of a run; False when another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if any_host:
            return True
        raise InputError(
            f"there are no locks ({error.strerror}) to tell whether its run goes on; when it does"
            " not: `aimatrix collect --any-host`"
        ) from error
    return True


def _remove_unmade(spool: Path) -> None:
    """Remove a folder whose making, or removing, was cut short: nothing is to be had from it."""
    with suppress(OSError):
        if time.time() - spool.stat().st_mtime > _MADE:
            shutil.rmtree(spool)


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
