"""Turns counts of calls as a framework spells them into records for the workload log.

And what they tell of producers and consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from aimatrix.dialects.pairs import translated
from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.monitoring.delivery import WindowCount
from aimatrix.monitoring.run_folder import Run

#: whose spelling a call has -> the framework that the log names for it
SOURCES = {"aten": "torch", "onnx": "onnxruntime", "jax": "jax"}

#: call, name, dialect, start and length of the window, whether it was timed
_Key = tuple[OpCall, str, str, datetime, float, bool]


def to_records(
    counts: Iterable[WindowCount],
    translate: Callable[[RawCall], OpCall],
    run: Run,
    warps: Callable[[OpCall], int | None] = lambda call: None,
) -> list[WorkloadRecord]:
    """One record per signature, name and window; equal ones of several processes are added up.

    What a call stands for counts in its place.

    warps: the measured warps of one such call, None where they were not measured.
    Calls that were timed and calls that were not stay apart, so that a time is that of all calls.
    """
    equal: dict[_Key, list[WindowCount]] = {}
    for count in (each for whole in counts for each in _parts(whole)):
        timed = count.time_ns is not None
        name, start, seconds = count.raw.name, count.window_start, count.window_seconds
        key = (translate(count.raw), name, count.raw.dialect, start, seconds, timed)
        equal.setdefault(key, []).append(count)
    return [
        WorkloadRecord(
            call=call,
            name=name,
            app=run.app,
            host=run.host,
            window_start=start,
            window_seconds=seconds,
            calls=sum(count.calls for count in same),
            estimated_calls=sum(count.estimated_calls for count in same),
            source=SOURCES.get(dialect, dialect),
            time_ns=sum(count.time_ns or 0 for count in same) if timed else None,
            warps=warps(call),
        )
        for (call, name, dialect, start, seconds, timed), same in equal.items()
    ]


def to_pair_records(
    counts: Iterable[WindowCount], translate: Callable[[RawCall], OpCall], run: Run
) -> list[PairRecord]:
    """One record per producer, consumer and window; equal ones of several processes are added up.

    Views make no pairs. What was seen is of calls that counted: an estimate makes at least one.
    """
    sums: dict[tuple[OpCall, OpCall, str, datetime, float], float] = {}
    for count in counts:
        for (producer, consumer), calls in translated(_pairs(count), translate).items():
            start, seconds = count.window_start, count.window_seconds
            key = (producer, consumer, _dialect(count.raw), start, seconds)
            sums[key] = sums.get(key, 0.0) + calls
    return [
        PairRecord(
            producer=producer,
            consumer=consumer,
            app=run.app,
            host=run.host,
            window_start=start,
            window_seconds=seconds,
            calls=max(1, round(calls)),
            source=SOURCES.get(dialect, dialect),
        )
        for (producer, consumer, dialect, start, seconds), calls in sums.items()
    ]


def _pairs(count: WindowCount) -> Iterator[tuple[RawCall, RawCall, float]]:
    """Producer, consumer, and how often; also those inside of what a call stands for."""
    for producer, calls in count.producers:
        yield producer, count.raw, calls
    parts = count.raw.parts
    for producing, consuming, times in count.raw.pairs:
        yield parts[producing][0], parts[consuming][0], count.calls * times


def _dialect(raw: RawCall) -> str:
    """Whose spelling the calls are in which a call is counted."""
    return raw.parts[0][0].dialect if raw.parts else raw.dialect


def _parts(count: WindowCount) -> list[WindowCount]:
    """The counts of what a call stands for, whose times are not known; else the count itself."""
    if not count.raw.parts:
        return [count]
    return [
        replace(
            count,
            raw=raw,
            calls=count.calls * times,
            estimated_calls=count.estimated_calls * times,
            time_ns=None,
        )
        for raw, times in count.raw.parts
    ]
