"""What monitoring costs an application: time with / time without, beside torch's own tools.

Run: ``python benchmarks/monitor_overhead.py [--quick] [--json]``. One row for each workload and
technique. On a core of its own it takes some 13 minutes, with ``--quick`` some 3; nothing is
written but standard output.

How it measures. Time is the processor's, of the whole process: on a core of one's own it is the
time on the clock, and other processes disturb it less. Each technique has a process of its own
(one that crashes is told of, and the rest goes on), pinned to one core, with one thread. In it,
samples without and with the technique take turns; ``ratio`` is the median of the ratios of
neighbours, ``spread`` half the distance between their quartiles. What a technique has to do before
its data can be had belongs to its time: a profiler's stop, the file of an execution trace.

- ``nothing``: the same code twice: how far a ratio may be from 1 by chance.
- ``aimatrix``: as users get it: exact until it would cost more than 5 % of the time, then sampled.
  It is measured in its steady state, in long samples, since the cost of sampling comes in bursts.
  Its estimates are compared with the exact counts: ``error_median`` and ``error_max`` over the
  signatures with at least 1 % of the calls, ``error_total`` of all calls (0.01 is one percent).
- ``aimatrix exact``: the same without a budget (``--budget none``).
- ``TorchDispatchMode``: what ``aimatrix monitor`` falls back to, in Python.
- ``torch.profiler``: with ``record_shapes``.
- ``ExecutionTraceObserver``: to a file in a temporary folder.

For aimatrix "without" is the thread with torch's observers switched off, which costs what a process
without it does; starting it anew would begin its tables anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any

import torch
from workloads.catalogue import WORKLOADS, Work

from aimatrix.dialects.aten import ATTRIBUTES
from aimatrix.dialects.raw import RawCall
from aimatrix.monitoring.agent.dispatch import DispatchCapture
from aimatrix.monitoring.agent.native import NativeCapture, open_native
from aimatrix.monitoring.agent.spool import SpoolTally
from aimatrix.monitoring.launcher import BOOT, CAPACITY
from aimatrix.monitoring.native import SOURCES, Unavailable, cache_folder, digest, ensure
from aimatrix.monitoring.spool_reader import SpoolReader

BUDGET = 0.05


# ---- techniques


class Technique:
    """Something that watches while inside `watching`. sample_seconds: the least that shows it."""

    sample_seconds = 0.03

    def watching(self) -> AbstractContextManager[object]:
        return nullcontext()


class Dispatch(Technique):
    """Our capture in Python."""

    def __init__(self, folder: str) -> None:
        self._capture = DispatchCapture(ATTRIBUTES, SpoolTally(folder, CAPACITY))

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._capture.start()
        try:
            yield
        finally:
            self._capture.stop()


class Profiler(Technique):
    """Torch's profiler of this thread; each sample starts it and stops it."""

    sample_seconds = 0.2  # starting and stopping it is not what a workload costs

    def watching(self) -> AbstractContextManager[object]:
        cpu = [torch.profiler.ProfilerActivity.CPU]
        return torch.profiler.profile(activities=cpu, record_shapes=True)


class ExecutionTrace(Technique):
    """Torch's recorder of execution traces; each sample writes a file."""

    sample_seconds = 0.2

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "trace.json")

    @contextmanager
    def watching(self) -> Iterator[None]:
        observer = torch.profiler.ExecutionTraceObserver().register_callback(self._path)
        observer.start()
        try:
            yield
        finally:
            observer.stop()
            observer.unregister_callback()


class Native(Technique):
    """The native capture, started once; `watching` lets this thread be seen."""

    def __init__(self, capture: NativeCapture) -> None:
        self.capture = capture
        capture.start()
        torch.autograd._enable_record_function(False)

    def end(self) -> None:
        self.capture.stop()
        torch.autograd._enable_record_function(True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        torch.autograd._enable_record_function(True)
        try:
            yield
        finally:
            torch.autograd._enable_record_function(False)


def native_capture(folder: str, budget: float) -> NativeCapture:
    """The native capture, not started. Raises RuntimeError where there is none."""
    library = ensure([sys.executable])
    if isinstance(library, Unavailable):
        raise RuntimeError(library.reason)
    configuration = {
        "library": str(cache_folder(os.environ)),
        "sources": digest(SOURCES),
        "attributes": ATTRIBUTES,
        "capacity": CAPACITY,
        "budget": budget,
        "allowance": 0.0,  # sampling from the start: its steady state
        "time": False,
    }
    return open_native(configuration, folder)


# ---- measuring, in a process of its own


@dataclass(frozen=True)
class Effort:
    """Seconds that each workload and technique gets: of samples, of passes before them.

    block: of a long sample. pairs: of samples, at least.
    """

    seconds: float
    warm_up: float
    block: float
    pairs: int


QUICK = Effort(seconds=0.6, warm_up=1.5, block=0.4, pairs=2)
FULL = Effort(seconds=7.0, warm_up=15.0, block=2.0, pairs=5)

Row = dict[str, Any]
Measured = Iterator[tuple[str, Row]]


def measure(technique: Technique, works: dict[str, Work], effort: Effort) -> Measured:
    """Short samples that take turns."""
    for name, work in works.items():
        passes = passes_in(technique.sample_seconds, work)
        with technique.watching():
            work()
        pairs: list[tuple[float, float]] = []
        end = perf_counter() + effort.seconds
        while perf_counter() < end or len(pairs) < effort.pairs:
            without = timed(nullcontext, work, passes)
            pairs.append((without, timed(technique.watching, work, passes)))
        yield name, summary(pairs)


def measure_exact(folder: str, works: dict[str, Work], effort: Effort) -> Measured:
    technique = Native(native_capture(folder, budget=0.0))
    for name, row in measure(technique, works, effort):
        before = technique.capture.seen()
        with technique.watching():
            works[name]()
        yield name, row | {"calls": technique.capture.seen() - before}


def measure_budget(folder: str, works: dict[str, Work], effort: Effort) -> Measured:
    """Long samples, nearly all of the time watched: the budget is a share of what passes.

    Counting starts anew with each workload, as in an application of its own, and is exact until
    it has cost more than its budget for a while; that is over before the first sample.
    """
    for name, work in works.items():
        exact = exact_counts(work)
        own = Path(tempfile.mkdtemp(dir=folder))
        technique = Native(native_capture(str(own), BUDGET))
        reader = SpoolReader(own)
        settle(technique, work, effort.warm_up)
        reader.read()
        reader.delivered()
        pairs, watched = long_samples(technique, work, effort)
        deltas = reader.read()
        technique.end()
        found: Counter[str] = Counter()
        for delta in deltas:
            found[spelled(delta.raw)] += delta.calls
        expected = Counter({key: watched * calls for key, calls in exact.items()})
        yield (
            name,
            summary(pairs)
            | estimation_errors(found, expected)
            | {
                "estimated": sum(delta.estimated_calls for delta in deltas) / found.total(),
                "watched": watched,
            },
        )


def exact_counts(work: Work) -> Counter[str]:
    """Signature -> its calls in one pass."""
    work()  # what is made at the first is no matter here
    with tempfile.TemporaryDirectory() as folder:
        technique = Native(native_capture(folder, budget=0.0))
        with technique.watching():
            work()
        technique.end()
        return Counter(
            {spelled(delta.raw): delta.calls for delta in SpoolReader(Path(folder)).read()}
        )


def settle(technique: Native, work: Work, seconds: float) -> None:
    with technique.watching():
        end = perf_counter() + seconds
        while perf_counter() < end:
            work()


def long_samples(
    technique: Technique, work: Work, effort: Effort
) -> tuple[list[tuple[float, float]], int]:
    """Pairs, and how many passes were watched."""
    pairs: list[tuple[float, float]] = []
    passes = passes_in(effort.block, work)
    fewer = max(1, passes // 8)
    before = timed_in_a_thread(work, fewer)
    end = perf_counter() + 2 * effort.seconds
    while perf_counter() < end or len(pairs) < effort.pairs:
        seconds = timed(technique.watching, work, passes)
        after = timed_in_a_thread(work, fewer)
        pairs.append(((before + after) / 2, seconds))
        before = after
    return pairs, passes * len(pairs)


def passes_in(seconds: float, work: Work) -> int:
    work()
    return max(1, round(seconds / timed(nullcontext, work, 1)))


def timed(watching: Callable[[], AbstractContextManager[object]], work: Work, passes: int) -> float:
    """Seconds of one of ``passes``, the start and end of the watching among them."""
    begin = process_time()
    with watching():
        for _ in range(passes):
            work()
    return (process_time() - begin) / passes


def timed_in_a_thread(work: Work, passes: int) -> float:
    """Seconds of one of ``passes`` that are not watched: those of a watched thread are a gap."""
    seconds: list[float] = []

    def run() -> None:
        torch.set_num_threads(1)
        torch.autograd._enable_record_function(False)
        seconds.append(timed(nullcontext, work, passes))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seconds[0]


def summary(pairs: list[tuple[float, float]]) -> Row:
    ratios = [watched / without for without, watched in pairs]
    low, _, high = quantiles(ratios, n=4)
    return {
        "ratio": median(ratios),
        "spread": (high - low) / 2,
        "pairs": len(pairs),
        "seconds": median(without for without, _ in pairs),
    }


def estimation_errors(found: Counter[str], expected: Counter[str]) -> Row:
    total = expected.total()
    frequent = [key for key, calls in expected.items() if calls >= 0.01 * total]
    errors = [abs(found[key] / expected[key] - 1) for key in frequent]
    return {
        "error_median": median(errors),
        "error_max": max(errors),
        "error_total": found.total() / total - 1,
    }


def spelled(raw: RawCall) -> str:
    return repr((raw.name, raw.overload, raw.phase, sorted(raw.arguments.items())))


TECHNIQUES: dict[str, Callable[[str, dict[str, Work], Effort], Measured]] = {
    "nothing": lambda _, works, effort: measure(Technique(), works, effort),
    "aimatrix": measure_budget,
    "aimatrix exact": measure_exact,
    "TorchDispatchMode": lambda folder, *rest: measure(Dispatch(folder), *rest),
    "torch.profiler": lambda _, *rest: measure(Profiler(), *rest),
    "ExecutionTraceObserver": lambda folder, *rest: measure(ExecutionTrace(folder), *rest),
}


def work_for(technique: str, names: list[str], effort: Effort) -> None:
    """In the technique's process: one line of JSON for each workload."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    works = {name: WORKLOADS[name]() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for name, row in TECHNIQUES[technique](folder, works, effort):
            print(json.dumps({"workload": name, **row}), flush=True)


# ---- the process that the person starts


def rows_of(technique: str, names: list[str], *, quick: bool) -> Iterator[Row]:
    """The rows of a technique; a workload at which its process ends has a ``failure`` instead."""
    left = list(names)
    # a thread's own heap is slower than the main one for large tensors: one for all
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    while left:
        command = [sys.executable, __file__, "--technique", technique, "--workloads", *left]
        ended = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            capture_output=True,
            text=True,
            env=environment,
        )
        rows = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        yield from ({"technique": technique, **row} for row in rows)
        left = left[len(rows) :]
        if left:
            failure = (ended.stderr.splitlines() or [f"ended with {ended.returncode}"])[-1]
            yield {"technique": technique, "workload": left.pop(0), "failure": failure}


def measure_all(techniques: list[str], names: list[str], *, quick: bool) -> list[Row]:
    rows = []
    for technique in techniques:
        print(f"measuring {technique} ...", file=sys.stderr)
        rows += rows_of(technique, names, quick=quick)
    calls = {row["workload"]: row["calls"] for row in rows if "calls" in row}
    for row in rows:
        if "ratio" in row and row["workload"] in calls:
            row["calls"] = calls[row["workload"]]
            added = row["seconds"] * (row["ratio"] - 1)
            row["nanoseconds_per_call"] = 1e9 * added / row["calls"]
    order = list(WORKLOADS)
    return sorted(rows, key=lambda row: order.index(row["workload"]))


def startup_milliseconds(rounds: int = 30) -> float:
    """Median milliseconds that ``python -c pass`` takes longer under the monitor."""
    plain = dict(os.environ)
    plain.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    monitored = {**plain, "PYTHONPATH": str(BOOT), "AIMATRIX_SPOOL": "unused"}

    def start(environment: dict[str, str]) -> float:
        begin = perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], env=environment, check=True)
        return perf_counter() - begin

    start(monitored)
    return 1e3 * median(start(monitored) - start(plain) for _ in range(rounds))


def show(document: Row) -> None:
    print(f"torch {document['torch']}, 1 thread; time with / time without\n")
    print("| workload | technique | ratio | +- | ns a call | sampled | errors of the counts |")
    print("|---|---|---|---|---|---|---|")
    for row in document["rows"]:
        start = f"| {row['workload']} | {row['technique']} |"
        if "failure" in row:
            print(f"{start} {row['failure']} | | | | |")
            continue
        cost = f"{row['nanoseconds_per_call']:.0f}" if "nanoseconds_per_call" in row else ""
        sampled = errors = ""
        if "estimated" in row:
            sampled = f"{row['estimated']:.0%}"
            errors = (
                f"{row['error_median']:.2%}, at most {row['error_max']:.2%},"
                f" total {row['error_total']:+.2%}"
            )
        print(f"{start} {row['ratio']:.3f} | {row['spread']:.3f} | {cost} | {sampled} | {errors} |")
    print(f"\nstart of a process: {document['startup_milliseconds']:.1f} ms longer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--techniques", nargs="+", choices=TECHNIQUES, default=list(TECHNIQUES))
    parser.add_argument("--technique", choices=TECHNIQUES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.technique:
        work_for(options.technique, options.workloads, QUICK if options.quick else FULL)
        return
    names = [name for name in WORKLOADS if name in options.workloads]
    document = {
        "torch": torch.__version__,
        "threads": 1,
        "rows": measure_all(options.techniques, names, quick=options.quick),
        "startup_milliseconds": startup_milliseconds(),
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
