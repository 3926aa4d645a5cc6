"""One platform's fidelity of mixes: whole applications against what each benchmark predicts.

Real applications are dear to time, and figures that are compared have to share their times. So all
benchmarks of a suite are measured in the same rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from aimatrix import backends
from aimatrix.analysis.blocks import find_blocks
from aimatrix.backends import Backend, Pass
from aimatrix.backends.allocator import keep_freed_memory
from aimatrix.backends.onnx_export import keeping
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.artefact import Part
from aimatrix.model.block import Block
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.recording import Recording
from aimatrix.model.result import (
    ApplicationTiming,
    FidelityRow,
    LeftOut,
    Platform,
    PlatformFidelity,
    Timing,
)
from aimatrix.validation import convolutions
from aimatrix.validation.attribution import attribute
from aimatrix.validation.measure import empty
from aimatrix.validation.rounds import interleave
from aimatrix.validation.suite import Application, Suite, load_application

Recorder = Callable[[Callable[..., Any], Sequence[Any]], Recording]
#: per round, the seconds of each part
Samples = list[list[float]]

#: rounds that even a slow platform gets, since a median of fewer says little
LEAST_ROUNDS = 5


class StandIn(Part):
    """A benchmark and the names of the applications that it stands for; none: all of the suite."""

    benchmark: MixBenchmark
    applications: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Whether the benchmark stands for the application of that name."""
        return not self.applications or name in self.applications


@dataclass(frozen=True, slots=True)
class _Ready:
    """An application that the platform runs, and the blocks that it is made of."""

    application: Application
    run: Pass
    blocks: Mapping[Block, int]


@dataclass(frozen=True, slots=True)
class _Compared:
    """An application's real times, what each round predicts for it, and what all of them do."""

    application: Application
    real: list[float]
    predicted: list[float]
    predicted_seconds: float


def measure_mix(
    benchmark: MixBenchmark,
    suite: Suite,
    platform: Platform,
    *,
    time_limit: float,
    record: Recorder = convolutions.record,
) -> PlatformFidelity:
    """`measure_mixes` of one benchmark that stands for the whole suite."""
    alone = [StandIn(benchmark=benchmark)]
    return measure_mixes(alone, suite, platform, time_limit=time_limit, record=record)[0]


def measure_mixes(
    stand_ins: Sequence[StandIn],
    suite: Suite,
    platform: Platform,
    *,
    time_limit: float,
    record: Recorder = convolutions.record,
    exports: Path | None = None,
) -> list[PlatformFidelity]:
    """Measure the suite and all benchmarks on ``platform``; a fidelity for each of these.

    Rounds of all applications and one pass of each benchmark go on for about ``time_limit``
    seconds, and for `LEAST_ROUNDS` at least. Each benchmark is held against the applications that
    it stands for. Those that the platform cannot run are named in ``left_out``, and nothing of them
    is predicted, as are those whose work is that of stages which it cannot run; so is a benchmark
    that it cannot run. exports: where applications are kept as ONNX models for the next process
    that measures the same suite. Raises InputError for an application that cannot be made at all.
    """
    backend = backends.get(platform.backend)
    keep_freed_memory()
    # first, as they are quick to refuse and applications are slow to make
    own = [_prepare_benchmark(item.benchmark, backend, platform) for item in stand_ins]
    running = [item for item in own if isinstance(item, Pass)]
    covered = [
        application
        for application in suite.applications
        if any(item.covers(application.name) for item in stand_ins)
    ]
    prepared = [
        _prepare(application, suite, backend, platform, record, exports)
        for application in covered
        if running
    ]
    ready = [item for item in prepared if isinstance(item, _Ready)]
    left_out = [item for item in prepared if isinstance(item, LeftOut)]
    real, passes = _measure([item.run for item in ready], running, time_limit)
    samples = iter(passes)
    return [
        _fidelity(stand_in, one.missing, ready, real, next(samples), left_out, backend, platform)
        if isinstance(one, Pass)
        else empty(platform, one.reason)
        for stand_in, one in zip(stand_ins, own, strict=True)
    ]


def _prepare_benchmark(
    benchmark: MixBenchmark, backend: Backend, platform: Platform
) -> Pass | LeftOut:
    try:
        return backend.prepare_mix(benchmark, platform)
    except (UnsupportedError, MissingPackageError) as error:
        return LeftOut(name=platform.name, reason=str(error))


def _prepare(
    application: Application,
    suite: Suite,
    backend: Backend,
    platform: Platform,
    record: Recorder,
    exports: Path | None,
) -> _Ready | LeftOut:
    function, inputs = load_application(suite, application)
    try:  # recorded first: preparing may move the application to another dtype
        recorded = record(function, inputs)
        with keeping(_own_folder(exports, application)):
            run = backend.prepare_application(function, inputs, platform)
    except (UnsupportedError, MissingPackageError) as error:
        return LeftOut(name=application.name, reason=str(error))
    except Exception as error:  # whatever a user's application raises
        reason = f"its operators cannot be recorded: {type(error).__name__}: {error}"
        return LeftOut(name=application.name, reason=reason)
    known = Counter(call for call in recorded.calls if call.family != "unknown")
    return _Ready(application, run, find_blocks(known, recorded.pairs))


def _own_folder(exports: Path | None, application: Application) -> Path | None:
    """Where the model of an application is kept, by its name: that may be any text."""
    return exports and exports / sha256(application.name.encode()).hexdigest()[:16]


def _measure(
    applications: Sequence[Pass], benchmarks: Sequence[Pass], time_limit: float
) -> tuple[list[Samples], list[Samples]]:
    """The samples of each application, and those of each benchmark; no rounds without both."""
    if not (applications and benchmarks):
        return [], [[] for _ in benchmarks]
    rounds = interleave([*applications, *benchmarks], time_limit, LEAST_ROUNDS)
    columns = [list(column) for column in zip(*rounds, strict=True)]
    return columns[: len(applications)], columns[len(applications) :]


def _fidelity(
    stand_in: StandIn,
    missing: frozenset[int],
    ready: Sequence[_Ready],
    real: Sequence[Samples],
    own: Samples,
    left_out: Sequence[LeftOut],
    backend: Backend,
    platform: Platform,
) -> PlatformFidelity:
    """What was measured, as one benchmark sees it."""
    outcomes = [
        _compare(item, samples, own, stand_in.benchmark, missing, platform.device)
        for item, samples in zip(ready, real, strict=False)
        if stand_in.covers(item.application.name)
    ]
    compared = [item for item in outcomes if isinstance(item, _Compared)]
    without = [item for item in outcomes if isinstance(item, LeftOut)]
    passes = [sum(parts) for parts in own]
    return PlatformFidelity(
        platform=platform,
        environment=backend.environment(platform),
        groups=(),
        convolutions=None,
        whole=_row("whole suite", compared, passes) if compared else None,
        classes=tuple(_row(name, some, passes) for name, some in _by_class(compared).items()),
        applications=tuple(map(_timing, compared)),
        left_out=tuple(item for item in [*left_out, *without] if stand_in.covers(item.name)),
    )


def _compare(
    item: _Ready,
    real: Samples,
    own: Samples,
    benchmark: MixBenchmark,
    missing: frozenset[int],
    device: str,
) -> _Compared | LeftOut:
    executions = attribute(item.blocks, benchmark, device)
    # without the stages that are not run, it would be predicted too short
    needed = sorted(benchmark.stages[number].name for number in missing if executions[number])
    if needed:
        names = ", ".join(map(repr, needed))
        reason = f"its work is that of stages that the platform does not run: {names}"
        return LeftOut(name=item.application.name, reason=reason)
    # the median of each stage: an upset of one is not one of the sum
    stages = [median(samples) for samples in zip(*own, strict=True)]
    return _Compared(
        application=item.application,
        real=[sum(parts) for parts in real],
        predicted=[_weighted(executions, parts) for parts in own],
        predicted_seconds=_weighted(executions, stages),
    )


def _weighted(executions: Sequence[float], seconds: Sequence[float]) -> float:
    return sum(count * each for count, each in zip(executions, seconds, strict=True))


def _by_class(compared: Sequence[_Compared]) -> Mapping[str, Sequence[_Compared]]:
    classes: dict[str, list[_Compared]] = {}
    for item in compared:
        if item.application.kind:
            classes.setdefault(item.application.kind, []).append(item)
    return classes


def _row(name: str, compared: Sequence[_Compared], passes: Sequence[float]) -> FidelityRow:
    """Weighted sums over applications, against one pass of the benchmark."""
    real = sum(item.application.weight * median(item.real) for item in compared)
    total = sum(item.application.weight * item.predicted_seconds for item in compared)
    return FidelityRow(
        name=name,
        real=_sum((item.application.weight, item.real) for item in compared),
        synthetic=Timing(samples=tuple(passes)),
        predicted=_sum((item.application.weight, item.predicted) for item in compared),
        predicted_seconds=total,
        error=total / real - 1,
    )


def _sum(weighted: Iterable[tuple[float, Sequence[float]]]) -> Timing:
    """Round by round, the sum of weight x seconds."""
    columns = [[weight * each for each in seconds] for weight, seconds in weighted]
    return Timing(samples=tuple(map(sum, zip(*columns, strict=True))))


def _timing(item: _Compared) -> ApplicationTiming:
    return ApplicationTiming(
        name=item.application.name,
        weight=item.application.weight,
        timing=Timing(samples=tuple(item.real)),
        predicted=Timing(samples=tuple(item.predicted)),
        predicted_seconds=item.predicted_seconds,
    )
