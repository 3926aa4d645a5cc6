"""Counts that outlive the process: a mapped table, and the description of each of its slots.

The kernel owns the mapped pages, so SIGKILL, ``os._exit`` and a segfault lose nothing that was
counted. Nothing is flushed, no thread runs. The format is in `docs/file-formats.md`, "Spool".
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Collection, Hashable

from .capture import NO_WORK, Description

VERSION = 3
MAGIC = b"AIMXSPOL"
#: magic, version, process id, start (ns since the epoch), capacity, namespace of the process id,
#: capacity for pairs
HEADER = struct.Struct("<8sIIQQQQ16x")
DESCRIPTIONS = ".calls.jsonl"
COUNTS = ".counts"

#: a slot: calls; calls that sampling stands for, in parts of SAMPLED_UNIT; their time in ns; how
#: many were looked at for pairs
SLOT = struct.Struct("<QQQQ")
SAMPLED_UNIT = 256
_WORDS = SLOT.size // 8
#: a pair, after all slots: slots of the producer and of the consumer, how often it was seen
PAIR = struct.Struct("<IIQ")
#: pairs that a process may hold; further ones are left out
PAIRS = 16_384

#: slot 0: calls of signatures beyond the capacity
OVERFLOW: Description = {
    "name": "aimatrix::overflow",
    "overload": "",
    "phase": "forward",
    "arguments": {},
}


class SpoolTally:
    """Counts in a pair of files of this process, made when it first counts something.

    Every thread has slots of its own, so that adding needs no lock; a thread that ends leaves
    them to the next one that starts.
    """

    def __init__(self, folder: str, capacity: int) -> None:
        self._folder = folder
        self._capacity = capacity
        self.reset()

    def reset(self) -> None:
        """Begin anew with no files and no counts: for a forked child."""
        self._threads = _ThreadSlots([])
        self._files: _SpoolFiles | None = None
        self._opening = threading.RLock()

    def slots(self) -> dict[Hashable, int]:
        """The calling thread's known signatures."""
        return self._threads.slots

    def open(self, describe: Callable[[], Description | None]) -> int:
        """A slot for a new signature, described on disk before it counts anything."""
        files = self._files or self._open_files()
        if files.full:
            return 0
        description = describe()
        return NO_WORK if description is None else files.append(description)

    def add(self, slot: int) -> None:
        """Count one call in ``slot``."""
        self._counts[slot * _WORDS] += 1

    def look(self, slot: int, producers: Collection[int]) -> None:
        """Count one call as looked at, and its pairs with what produced what it takes."""
        self._counts[slot * _WORDS + 3] += 1
        for producer in producers:
            place = self._files.place_of(producer, slot) if self._files else None
            if place is not None:
                self._counts[place] += 1

    def add_estimate(self, slot: int, calls: float) -> None:
        """Count calls that sampling stands for, in ``slot``."""
        self._counts[slot * _WORDS + 1] += round(calls * SAMPLED_UNIT)

    def _open_files(self) -> _SpoolFiles:
        with self._opening:
            if self._files is None:
                files = _SpoolFiles(self._folder, self._capacity)
                self._counts = files.counts
                self._files = files
            return self._files


class _SpoolFiles:
    """The pair of files of one process."""

    def __init__(self, folder: str, capacity: int) -> None:
        start = time.time_ns()
        stem = os.path.join(folder, f"{os.getpid()}-{start}")
        header = HEADER.pack(MAGIC, VERSION, os.getpid(), start, capacity, pid_namespace(), PAIRS)
        size = HEADER.size + SLOT.size * capacity + PAIR.size * PAIRS
        table = os.open(stem + COUNTS, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _reserve(table, size)
            os.pwrite(table, header, 0)
            self._map = mmap.mmap(table, size)  # shared, readable and writable
        except BaseException:
            os.unlink(stem + COUNTS)  # no one is to wait for it to count
            raise
        finally:
            os.close(table)
        self._descriptions = stem + DESCRIPTIONS
        self.counts = memoryview(self._map)[HEADER.size :].cast("Q")
        self._capacity = capacity
        self._next = itertools.count(1)
        self._places: dict[tuple[int, int], int] = {}
        self._next_pair = itertools.count()
        self.full = False
        self._write(0, OVERFLOW)

    def append(self, description: Description) -> int:
        """Describe the next free slot; slot 0 when there is none left."""
        slot = next(self._next)
        if slot >= self._capacity:
            self.full = True
            return 0
        self._write(slot, description)
        return slot

    def place_of(self, producer: int, consumer: int) -> int | None:
        """Which of the counts is that of a pair; None for one beyond the capacity."""
        place = self._places.get((producer, consumer))
        if place is None and len(self._places) < PAIRS:
            pair = self._capacity * _WORDS + 2 * next(self._next_pair)
            if pair + 1 >= len(self.counts):
                return None
            # a pair that was never seen is none: whole before it counts, whenever we are killed
            self.counts[pair] = consumer << 32 | producer
            place = self._places[producer, consumer] = pair + 1
        return place

    def _write(self, slot: int, description: Description) -> None:
        line = json.dumps({"slot": slot, **description}, separators=(",", ":")) + "\n"
        # opened each time: an application that closes all files would otherwise have ours end up
        # as one of its own
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(self._descriptions, flags, 0o600)
        try:
            # one write, so that a kill leaves whole lines and threads do not mix theirs
            if os.write(file, line.encode()) != len(line.encode()):
                raise OSError("the disk is full")
        finally:
            os.close(file)


def pid_namespace() -> int:
    """Which numbering of processes this one's id belongs to; 0 where there is only one."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _reserve(file: int, size: int) -> None:
    """Make a file of ``size`` zeros whose place on disk is taken.

    A sparse file would do, but for a disk that is full later: it kills the process at a store.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))


class _ThreadSlots(threading.local):
    """A thread's own slots; ``__init__`` runs in every thread that looks, when it first does."""

    def __init__(self, free: list[dict[Hashable, int]]) -> None:
        self._lease = _Lease(free)
        self.slots = self._lease.slots


class _Lease:
    """Slots on loan to a thread; they go back when the thread's locals are dropped."""

    def __init__(self, free: list[dict[Hashable, int]]) -> None:
        self._free = free
        try:
            self.slots = free.pop()
        except IndexError:
            self.slots = {}

    def __del__(self) -> None:
        self._free.append(self.slots)
