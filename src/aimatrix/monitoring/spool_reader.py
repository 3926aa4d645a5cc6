"""Reads what the processes of a run have counted, each count once, while they go on counting."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from struct import Struct
from typing import Any

from aimatrix.dialects.raw import RawCall, from_json
from aimatrix.errors import InputError
from aimatrix.monitoring.agent.onnx_runtime import DIALECT
from aimatrix.monitoring.agent.spool import (
    COUNTS,
    DESCRIPTIONS,
    HEADER,
    MAGIC,
    PAIR,
    SAMPLED_UNIT,
    SLOT,
    VERSION,
    pid_namespace,
)

DELIVERED = ".delivered"

#: calls of a slot whose description is damaged: a disk was full
UNDESCRIBED = RawCall("aimatrix::undescribed")


@dataclass(frozen=True, slots=True)
class Delta:
    """Calls of one signature that one process has made and that were not handed on before.

    estimated_calls: how many of ``calls`` are an estimate from sampling. time_ns: what all of
    them took on the host, None where it was not measured. producers: whose outputs they took, and
    how many of ``calls`` took them: an estimate where not every call was looked at.
    """

    raw: RawCall
    calls: int
    estimated_calls: int = 0
    time_ns: int | None = None
    producers: tuple[tuple[RawCall, float], ...] = ()


#: seconds after which a process has done more than begin its file
_BEGUN = 60.0
#: seconds after which a left process that counts nothing is taken for ended if no one can tell
_QUIET = 86400.0


class State(Enum):
    """What is known of the processes of a spool: their launcher goes on, or has left them, or
    they are gone as well."""

    RUNS = "runs"
    LEFT = "left"
    GONE = "gone"


#: what a slot has counted: calls, calls from sampling in parts of SAMPLED_UNIT, nanoseconds, calls
#: that were looked at
Slot = tuple[int, int, int, int]
_EMPTY: Slot = (0, 0, 0, 0)
#: consumer's slot -> producer's slot -> how often a call that was looked at took what that produced
Pairs = dict[int, dict[int, int]]
_Shares = dict[int, float]


@dataclass(slots=True)
class _State:
    """What a process has counted, up to some time."""

    slots: list[Slot] = field(default_factory=list)
    pairs: Pairs = field(default_factory=dict)


@dataclass(slots=True)
class _Process:
    """What is known of one process's files. ``ended``: at the last read it was gone already."""

    stem: Path
    delivered: _State
    calls: dict[int, RawCall] = field(default_factory=dict)
    read_to: int = 0
    pending: _State = field(default_factory=lambda: _State())
    ended: bool = False

    def path(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)


class SpoolReader:
    """Everything counted in a spool folder and not yet handed on.

    `read` gives it, and gives it again, grown, until `delivered` confirms it. What is confirmed
    is kept beside the counts, so that another reader goes on where this one ended; the files of
    processes that have ended are removed then.

    damaged: why the files of some processes could not be read at the last `read`; they stay.
    """

    def __init__(self, folder: Path, state: State = State.RUNS) -> None:
        self._folder = folder
        self._state = state
        self._processes: dict[str, _Process] = {}
        self.damaged: list[str] = []

    def read(self) -> list[Delta]:
        """What has been counted since the last confirmation, as far as it can be read."""
        deltas: list[Delta] = []
        self.damaged = []
        for path in sorted(self._folder.glob(f"*{COUNTS}")):
            try:
                _check_version(path)
                deltas += _read_process(self._process(path), self._state)
            except InputError as error:
                self.damaged.append(str(error))
        return deltas

    def _process(self, path: Path) -> _Process:
        name = path.name.removesuffix(COUNTS)
        if name not in self._processes:
            stem = path.with_name(name)
            self._processes[name] = _Process(stem, _load_delivered(stem))
        process = self._processes[name]
        process.pending, process.ended = process.delivered, False
        return process

    def delivered(self) -> None:
        """Confirm that all of the last `read` is in safe hands."""
        for name, process in list(self._processes.items()):
            changed = process.pending != process.delivered
            process.delivered = process.pending
            # a full disk is no reason to hand on again what is safe: this reader knows better
            with suppress(OSError):
                if process.ended:
                    _remove(process)
                    del self._processes[name]
                elif changed:
                    _save_delivered(process)

    @property
    def all_ended(self) -> bool:
        """Whether all processes of the last `read` have ended and been confirmed."""
        return not self._processes and not self.damaged


def _read_process(process: _Process, state: State) -> list[Delta]:
    content = process.path(COUNTS).read_bytes()
    header = _header(process.path(COUNTS), content)
    if header is None:
        process.ended = _never_began(process, state)
        return []
    # before the counts are looked at: what has ended counts no more
    process.ended = state is State.GONE or _has_ended(process, *header)
    if process.ended:
        content = process.path(COUNTS).read_bytes()
    now = _counts(content)
    # after the counts: a slot that counts has been described before
    _read_descriptions(process)
    deltas = _since_delivered(process, now)
    if (
        state is State.LEFT
        and header[1] != pid_namespace()
        and process.pending == process.delivered
    ):
        process.ended = _age(process.path(DELIVERED)) > _QUIET
    return deltas


def _since_delivered(process: _Process, now: _State) -> list[Delta]:
    """What is new, and makes it pending."""
    delivered = process.delivered
    known = delivered.slots + [_EMPTY] * (len(now.slots) - len(delivered.slots))
    deltas = []
    process.pending = _State()
    for number, (slot, before) in enumerate(zip(now.slots, known, strict=False)):
        pairs, pairs_before = now.pairs.get(number, {}), delivered.pairs.get(number, {})
        delta = _delta(process.calls.get(number, UNDESCRIBED), slot, before)
        if delta.calls:
            shares = _shares(slot, before, pairs, pairs_before)
            producers = tuple(
                (process.calls.get(producer, UNDESCRIBED), delta.calls * share)
                for producer, share in shares.items()
            )
            deltas.append(replace(delta, producers=producers))
        else:  # what else is told of calls that have been handed on waits for the next one
            slot, pairs = (slot[0], slot[1], before[2], before[3]), pairs_before
        process.pending.slots.append(slot)
        if pairs:
            process.pending.pairs[number] = pairs
    return deltas


def _shares(slot: Slot, before: Slot, pairs: dict[int, int], known: dict[int, int]) -> _Shares:
    """Of the calls of a slot, the part that took what each producer wrote; those above none.

    It is told by the calls that were looked at since ``before``; where there are none, by all.
    """
    looked = slot[3] - before[3]
    if looked <= 0:
        looked, known = slot[3], {}
    # a process that counts on may have made a pair whose look we did not see
    shares = {p: min((seen - known.get(p, 0)) / max(looked, 1), 1.0) for p, seen in pairs.items()}
    return {producer: share for producer, share in shares.items() if share > 0}


def _delta(raw: RawCall, slot: Slot, before: Slot) -> Delta:
    # whole calls of a running total: what is rounded off now comes with the next delta
    estimated = slot[1] // SAMPLED_UNIT - before[1] // SAMPLED_UNIT
    time_ns = slot[2] - before[2]
    return Delta(raw, slot[0] - before[0] + estimated, estimated, time_ns or None)


def _header(path: Path, content: bytes) -> tuple[int, int] | None:
    """Process id and its namespace; None for a process that has only just begun its file."""
    if len(content) < HEADER.size or not content[:8].strip(b"\0"):
        return None
    magic, version, pid, _start, _capacity, namespace, _pairs = HEADER.unpack_from(content)
    if magic != MAGIC or version != VERSION:
        raise InputError(
            f"{path}: is not a spool of version {VERSION}; read it with the aimatrix that wrote it"
        )
    return pid, namespace


def _check_version(path: Path) -> None:
    """Before anything else of a process is read, which other releases may have written too."""
    with path.open("rb") as file:
        _header(path, file.read(HEADER.size))


def _never_began(process: _Process, state: State) -> bool:
    """Whether a file without a header is that of a process that ended before it wrote one."""
    age = _age(process.path(COUNTS))
    pid = process.stem.name.partition("-")[0]
    known = state is State.GONE or (pid.isdecimal() and not _is_there(int(pid)))
    return age > (_BEGUN if known else _QUIET)


def _has_ended(process: _Process, pid: int, namespace: int) -> bool:
    """Whether the process counts no more; of one in another container that is not known."""
    if namespace != pid_namespace():
        return False
    if not _is_there(pid):
        return True
    path = process.path(COUNTS)
    try:
        maps = Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False  # another user's, or there is no /proc
    if not maps:
        return True  # it ended, and no one has asked how
    # process ids come again: the one that counts here has mapped its file, unless it just begins
    return path.name.encode() not in maps and _age(path) > _BEGUN


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return True


def _age(path: Path) -> float:
    """Seconds since a file was written; 0 for one that is not there."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _counts(content: bytes) -> _State:
    """The slots up to the last one that counts (few of a table's are ever used), and the pairs."""
    capacity = HEADER.unpack_from(content)[4]
    end = HEADER.size + SLOT.size * capacity
    slots = list(_rows(SLOT, content[HEADER.size : end]))
    pairs: Pairs = {}
    for producer, consumer, seen in _rows(PAIR, content[end:]):
        if seen:  # else one whose writing was cut short
            pairs.setdefault(consumer, {})[producer] = seen
    return _State(slots, pairs)


def _rows(row: Struct, table: bytes) -> Iterator[Any]:
    used = table.rstrip(b"\0")
    return row.iter_unpack(used + bytes(-len(used) % row.size))


def _read_descriptions(process: _Process) -> None:
    try:
        with process.path(DESCRIPTIONS).open("rb") as file:
            file.seek(process.read_to)
            content = file.read()
    except FileNotFoundError:
        return  # a process that has only just begun
    whole = content[: content.rfind(b"\n") + 1]
    process.read_to += len(whole)
    for line in whole.splitlines():
        try:
            text = line.decode()
            call = _with_model_here(from_json(text), process.stem.parent)
            process.calls[int(json.loads(text)["slot"])] = call
        except (ValueError, KeyError, TypeError, InputError):
            continue  # its slot is counted as UNDESCRIBED


def _with_model_here(raw: RawCall, folder: Path) -> RawCall:
    """A run of a model names the file that the model is in: in the spool, wherever that is."""
    if raw.dialect != DIALECT or not raw.arguments.get("model"):
        return raw
    model = folder / Path(raw.arguments["model"]).name
    return replace(raw, arguments={**raw.arguments, "model": str(model)})


def _remove(process: _Process) -> None:
    # the counts first: without them the rest says nothing
    for suffix in (COUNTS, DESCRIPTIONS, DELIVERED):
        process.path(suffix).unlink(missing_ok=True)


def _load_delivered(stem: Path) -> _State:
    path = stem.with_name(stem.name + DELIVERED)
    try:
        state = json.loads(path.read_text())
        slots = [(int(c), int(s), int(t), int(looked)) for c, s, t, looked in state["slots"]]
        pairs: Pairs = {}
        for consumer, producer, seen in state["pairs"]:
            pairs.setdefault(int(consumer), {})[int(producer)] = int(seen)
        return _State(slots, pairs)
    except FileNotFoundError:
        return _State()
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: is damaged; remove it to have all that its process counted handed on again,"
            " also what is in the log already"
        ) from error


def _save_delivered(process: _Process) -> None:
    path = process.path(DELIVERED)
    temporary = path.with_name(path.name + ".tmp")
    pairs = [
        (consumer, producer, seen)
        for consumer, producers in process.delivered.pairs.items()
        for producer, seen in producers.items()
    ]
    temporary.write_text(json.dumps({"slots": process.delivered.slots, "pairs": pairs}))
    os.replace(temporary, path)
