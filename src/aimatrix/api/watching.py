"""The verbs that watch applications, apart from the others: the monitor runs as long as they do.

What is imported here stays in memory beside the application.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from aimatrix.dialects import aten, translate
from aimatrix.errors import InputError
from aimatrix.importers import kineto
from aimatrix.importers.onnx_runs import with_operators
from aimatrix.monitoring import (
    Leftover,
    MeasuredWarps,
    Run,
    WindowCount,
    bring_in,
    collect_leftovers,
    encodable,
    new_spool,
    run_monitored,
    spool_folders,
    this_host,
    to_pair_records,
    to_records,
)
from aimatrix.monitoring.application_name import application_name
from aimatrix.store import table_kind
from aimatrix.store.run_log import RunLog
from aimatrix.store.workload import WorkloadStore

DEFAULT_STORE = Path("aimatrix-store")

#: a file or folder, as a path or its text
FilePath = str | Path


def monitor(
    command: Sequence[str],
    *,
    store: FilePath = DEFAULT_STORE,
    app: str | None = None,
    window: float = 60.0,
    budget: float = 0.05,
    time: bool = False,
    warps: bool = False,
) -> int:
    """Run ``command`` unchanged, log its operators into ``store``, and return its exit code.

    A command that a signal ended gives the negative number of the signal. ``app`` names the
    application in the log (its script's or module's name by default), ``window`` is in seconds.
    ``budget``: share of the application's time that counting may take before calls are sampled,
    and their counts estimated; 0 for no limit. ``time``: also measure what calls take.
    ``warps``: also measure the warps that calls launch on CUDA GPUs, by recording single calls of
    models with torch's profiler; for its effects see `docs/monitoring.md`, "Measured warps".
    What earlier runs on this host left behind, because they were killed, is logged first. A store
    that cannot be written to is told in one line on standard error, the command runs on, and what
    it counts is kept for `collect`.
    Raises InputError when the command does not exist, the log has no windows of such a length, or
    there is no such budget.
    """
    table_kind.check_window(window)
    store = Path(store)
    run = Run(encodable(app or application_name(command)), this_host(), window)
    for spools in spool_folders(store):
        bring_in(spools, _into(WorkloadStore(store)))
    spool = new_spool(store)
    measured = MeasuredWarps(spool, _traced, translate) if warps else None
    return run_monitored(
        command,
        run,
        spool=spool,
        attributes=aten.ATTRIBUTES,
        on_window=partial(_into(RunLog(store), measured), run),
        budget=budget,
        time=time,
        warps=warps,
    )


def collect(store: FilePath = DEFAULT_STORE, *, any_host: bool = False) -> list[Leftover]:
    """Log what killed runs, or runs that could not write to ``store``, have left behind.

    Runs that go on are passed over. any_host: also what runs of other hosts left, which are taken
    for gone with all their processes unless a lock says that they go on. Gives what became of
    each run that had left something; what could not be brought in stays where it is. Raises
    InputError when there is no such store.
    """
    store = Path(store)
    folders = spool_folders(store)
    if not any(map(os.path.exists, (store, *folders))):
        raise InputError(f"{store}: no such store")
    log = _into(WorkloadStore(store))
    return [
        left for spools in folders for left in collect_leftovers(spools, log, any_host=any_host)
    ]


def _into(
    log: WorkloadStore | RunLog, measured: MeasuredWarps | None = None
) -> Callable[[Run, list[WindowCount]], None]:
    """What puts the counts of a run into a log, with the warps that it has measured until then."""

    def append(run: Run, counts: list[WindowCount]) -> None:
        counts = [replace(count, raw=with_operators(count.raw)) for count in counts]
        pairs = to_pair_records(counts, translate, run)
        if measured is None:
            log.append(to_records(counts, translate, run), pairs)
        else:
            measured.collect()
            log.append(to_records(counts, translate, run, measured.of), pairs)

    return append


def _traced(trace: Path, schemas: Path) -> list[kineto.TracedCall]:
    return kineto.read(trace, kineto.stored_schemas(schemas), aten.ATTRIBUTES).calls
