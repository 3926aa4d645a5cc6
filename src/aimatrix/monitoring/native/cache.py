"""Where built libraries are kept, each user's own: found again, locked while one is built."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from aimatrix.errors import AimatrixError
from aimatrix.monitoring.agent import library
from aimatrix.monitoring.native.interpreter import Torch

#: what is known of a library, beside it
NOTES = "library.json"
_FAILED = "failed.json"
_LOCK = "lock"
_WORK = ".building-"
#: longest wait for another builder: longer than one can take (compiler and self-test)
WAIT = 400.0


class BuildError(AimatrixError):
    """There is no library to be had; the message is the reason, for a person."""


@dataclass(frozen=True, slots=True)
class Notes:
    """How a library was built. event_ns: what counting costs for each event of RecordFunction."""

    torch: str
    compiler: str
    flags: str
    event_ns: float
    built: str


@dataclass(frozen=True, slots=True)
class Library:
    """A library that is ready for use: its file, and how it was built."""

    file: Path
    notes: Notes


@dataclass(frozen=True, slots=True)
class Failure:
    """A build that failed, and with which compiler: another one may do better."""

    reason: str
    compiler: str


Kept = TypeVar("Kept", Notes, Failure)


class Cache:
    """The libraries of this user, one folder for each build of torch and state of the sources.

    A folder has the library and `NOTES`, or, when none could be built, a file with the reason.
    """

    def __init__(self, folder: Path, sources: str) -> None:
        self.folder = folder
        self._sources = sources

    def name(self, torch: Torch, abi: str = "?") -> str:
        """The folder of the library for ``torch``; a glob as long as its ABI is not known."""
        return library.key(torch.version, torch.git, abi, self._sources)

    def check(self) -> None:
        """Raise BuildError when others could change what lies here, or would lie here."""
        place = self.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        _trusted(place)

    def find(self, torch: Torch) -> Library | None:
        """The library for ``torch``; None when it has not been built.

        Raises BuildError when it lies where others could change it.
        """
        for file in sorted(self.folder.glob(f"{self.name(torch)}/{library.FILE}")):
            notes = _load(Notes, file.with_name(NOTES))
            if notes is not None:
                return Library(_trusted(file), notes)
        return None

    def failure(self, torch: Torch) -> Failure | None:
        """Why the last build for ``torch`` failed; None when it did not, or there was none."""
        return _load(Failure, self._failed(torch))

    def remember(self, torch: Torch, failure: Failure) -> None:
        """Keep a failure, so that it is not met again at each start."""
        with suppress(OSError):  # then it is met again
            _write(self._failed(torch), json.dumps(asdict(failure)))

    def keep(self, torch: Torch, abi: str, built: Path, notes: Notes) -> Library:
        """Take the library in the file ``built`` in; what was there for this torch gives way."""
        place = self.folder / self.name(torch, abi)
        place.mkdir(mode=0o700, exist_ok=True)
        _write(built.with_name(NOTES), json.dumps(asdict(notes)))
        os.replace(built, place / library.FILE)
        os.replace(built.with_name(NOTES), place / NOTES)
        self._failed(torch).unlink(missing_ok=True)
        return Library(_trusted(place / library.FILE), notes)

    @contextmanager
    def building(self) -> Iterator[Path]:
        """An empty folder to build in, for one builder at a time; gone afterwards.

        Waits for another builder. Raises BuildError where nothing can be kept.
        """
        try:
            _make_private(self.folder)
            self.check()
            lock = os.open(self.folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
            with open(lock, "w") as held:
                if _lock(held.fileno()):
                    for left in self.folder.glob(f"{_WORK}*"):  # by a builder that was killed
                        shutil.rmtree(left, ignore_errors=True)
                work = Path(tempfile.mkdtemp(prefix=_WORK, dir=self.folder))
                try:
                    yield work
                finally:
                    shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            raise BuildError(f"{self.folder}: nothing can be kept there: {error}") from error

    def _failed(self, torch: Torch) -> Path:
        return self.folder / f"{self.name(torch).replace('?', '')}.{_FAILED}"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The folder of all libraries: in AIMATRIX_CACHE, or where the user's caches are."""
    named = environment.get("AIMATRIX_CACHE")
    if named:
        return Path(named).absolute() / "native"
    caches = environment.get("XDG_CACHE_HOME")
    if caches and os.path.isabs(caches):  # its specification has others ignored
        return Path(caches) / "aimatrix" / "native"
    try:
        return Path.home() / ".cache" / "aimatrix" / "native"
    except RuntimeError as error:
        raise BuildError("there is no home folder to keep it in; set AIMATRIX_CACHE") from error


def _trusted(path: Path) -> Path:
    try:
        return Path(library.trusted(os.fspath(path)))
    except OSError as error:
        raise BuildError(f"{error}; AIMATRIX_CACHE names another folder to keep it in") from error


def _make_private(folder: Path) -> None:
    """Make ``folder`` and those above it, for this user alone as far as they are new."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _lock(file: int) -> bool:
    """Wait for the lock; False on a file system without locks.

    There, two may build at once, and each takes its own in whole.
    """
    end = time.monotonic() + WAIT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                raise BuildError("another process has been building it for too long") from None
            time.sleep(0.1)
        except OSError:
            return False


def _write(path: Path, text: str) -> None:
    """Write a file that this user alone can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, path)


def _load(kind: type[Kept], path: Path) -> Kept | None:
    """What a file of ours keeps; None when there is none, or it is damaged."""
    try:
        stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kind(**stated)
    except (OSError, ValueError, TypeError):
        return None
