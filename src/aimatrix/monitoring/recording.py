"""Turns counts of calls as a framework spells them into records for the workload log."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.monitoring.delivery import WindowCount
from aimatrix.monitoring.run_folder import Run


def to_records(
    counts: Iterable[WindowCount], translate: Callable[[RawCall], OpCall], run: Run
) -> list[WorkloadRecord]:
    """One record per signature, name and window; equal ones of several processes are added up."""
    calls: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], tuple[OpCall, WindowCount]] = {}
    for count in counts:
        call = translate(count.raw)
        key = (call, count.raw.name, count.window_start, count.window_seconds)
        calls[key] = calls.get(key, 0) + count.calls
        first.setdefault(key, (call, count))
    return [
        WorkloadRecord(
            call=call,
            name=count.raw.name,
            app=run.app,
            host=run.host,
            window_start=count.window_start,
            window_seconds=count.window_seconds,
            calls=calls[key],
        )
        for key, (call, count) in first.items()
    ]
