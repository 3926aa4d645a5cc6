"""Reads what the processes of a run have counted, each count once, while they go on counting."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from aimatrix.dialects.raw import RawCall, from_json
from aimatrix.errors import InputError
from aimatrix.monitoring.agent.spool import COUNTS, DESCRIPTIONS, HEADER, MAGIC, VERSION

DELIVERED = ".delivered"

#: calls of a slot whose description is damaged: a disk was full
UNDESCRIBED = RawCall("aimatrix::undescribed")


@dataclass(frozen=True, slots=True)
class Delta:
    """Calls of one signature that one process has made and that were not handed on before."""

    process: str
    raw: RawCall
    calls: int


@dataclass(slots=True)
class _Process:
    """What is known of one process's pair of files."""

    stem: Path
    delivered: list[int]
    calls: dict[int, RawCall] = field(default_factory=dict)
    read_to: int = 0
    pending: list[int] = field(default_factory=list)


class SpoolReader:
    """Everything counted in a spool folder and not yet handed on.

    `read` gives it, and gives it again, grown, until `delivered` confirms it. What is confirmed
    is kept beside the counts, so that another reader goes on where this one ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, _Process] = {}

    def read(self) -> list[Delta]:
        """What has been counted since the last confirmation.

        Raises InputError on a table of counts that this release does not read.
        """
        deltas = []
        for path in sorted(self._folder.glob(f"*{COUNTS}")):
            name = path.name.removesuffix(COUNTS)
            process = self._processes.get(name)
            if process is None:
                stem = path.with_name(name)
                process = self._processes[name] = _Process(stem, _load_delivered(stem))
            deltas += _read_process(name, process)
        return deltas

    def delivered(self) -> None:
        """Confirm that all of the last `read` is in safe hands."""
        for process in self._processes.values():
            if process.pending != process.delivered:
                process.delivered = process.pending
                _save_delivered(process)


def _read_process(name: str, process: _Process) -> list[Delta]:
    counts = _read_counts(process.stem)
    # after the counts: a slot that counts has been described before
    _read_descriptions(process)
    known = process.delivered + [0] * (len(counts) - len(process.delivered))
    deltas = []
    pending = list(known)
    for slot, count in enumerate(counts):
        if count > known[slot]:
            raw = process.calls.get(slot, UNDESCRIBED)
            deltas.append(Delta(name, raw, count - known[slot]))
            pending[slot] = count
    process.pending = _trimmed(pending)
    return deltas


def _read_counts(stem: Path) -> memoryview:
    path = stem.with_name(stem.name + COUNTS)
    content = path.read_bytes()
    if len(content) < HEADER.size or not content[:8].strip(b"\0"):
        return memoryview(b"").cast("Q")  # a process that has only just begun to make it
    magic, version, _pid, _start, capacity = HEADER.unpack_from(content)
    if magic != MAGIC or version != VERSION:
        raise InputError(
            f"{path}: is not a spool of version {VERSION}; read it with the aimatrix that wrote it"
        )
    return memoryview(content)[HEADER.size : HEADER.size + 8 * capacity].cast("Q")


def _read_descriptions(process: _Process) -> None:
    path = process.stem.with_name(process.stem.name + DESCRIPTIONS)
    try:
        with path.open("rb") as file:
            file.seek(process.read_to)
            content = file.read()
    except FileNotFoundError:
        return  # a process that has only just begun
    whole = content[: content.rfind(b"\n") + 1]
    process.read_to += len(whole)
    for line in whole.splitlines():
        try:
            text = line.decode()
            process.calls[int(json.loads(text)["slot"])] = from_json(text)
        except (ValueError, KeyError, TypeError, InputError):
            continue  # its slot is counted as UNDESCRIBED


def _trimmed(counts: list[int]) -> list[int]:
    used = len(counts)
    while used and counts[used - 1] == 0:
        used -= 1
    return counts[:used]


def _load_delivered(stem: Path) -> list[int]:
    try:
        counts: list[int] = json.loads(stem.with_name(stem.name + DELIVERED).read_text())
    except FileNotFoundError:
        return []
    return counts


def _save_delivered(process: _Process) -> None:
    path = process.stem.with_name(process.stem.name + DELIVERED)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(process.delivered))
    os.replace(temporary, path)
