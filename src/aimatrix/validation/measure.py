"""One platform's fidelity: prepares both sides, measures them interleaved, makes the rows.

This is what a validation worker does; `aimatrix.validation.fidelity` starts the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from aimatrix import backends, ops
from aimatrix.backends import Backend, Pass
from aimatrix.backends.allocator import keep_freed_memory
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
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
from aimatrix.validation.rounds import interleave
from aimatrix.validation.suite import Application, Suite, load_application

Recorder = Callable[[Callable[..., Any], Sequence[Any]], Recording]
#: per round, the seconds of each stage (or group)
Samples = list[list[float]]


@dataclass
class _Prepared:
    """Passes that are ready to be measured, by what they are; None: the benchmark's own."""

    whole: dict[str | None, Pass] = field(default_factory=dict)
    loose: dict[str | None, Pass] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    suite_macs: float = 0.0


def measure_platform(
    benchmark: Benchmark,
    suite: Suite,
    platform: Platform,
    *,
    time_limit: float,
    record: Recorder = convolutions.record,
) -> PlatformFidelity:
    """Measure the suite and the benchmark on ``platform`` for about ``time_limit`` seconds.

    What the platform cannot run is named in ``left_out``; a comparison that lacks an application
    is left out too, since the benchmark stands for all of them. Raises InputError for an
    application that cannot be made at all.
    """
    backend = backends.get(platform.backend)
    try:
        backend.check(platform)
    except (UnsupportedError, MissingPackageError) as error:
        return empty(platform, str(error))
    keep_freed_memory()
    prepared = _prepare(benchmark, suite, backend, platform, record)
    passes = [*prepared.whole.values(), *prepared.loose.values()]
    rounds = interleave(passes, time_limit) if passes else []
    columns = [list(column) for column in zip(*rounds, strict=True)]
    whole = dict(zip(prepared.whole, columns, strict=False))
    loose = dict(zip(prepared.loose, columns[len(whole) :], strict=True))
    rows, left_out = _group_rows(benchmark, suite, loose)
    target_macs = sum(stage.target_macs for stage in benchmark.stages)
    return PlatformFidelity(
        platform=platform,
        environment=backend.environment(platform),
        groups=tuple(rows),
        convolutions=_total_row("convolutions", benchmark, suite, loose),
        whole=_total_row("whole models", benchmark, suite, whole),
        applications=tuple(_timings(suite, whole)),
        left_out=(*prepared.left_out, *left_out),
        suite_share=prepared.suite_macs / target_macs if None in loose else None,
    )


def empty(platform: Platform, reason: str) -> PlatformFidelity:
    """The result of a platform that cannot be measured."""
    return PlatformFidelity(
        platform=platform,
        environment={},
        groups=(),
        convolutions=None,
        whole=None,
        applications=(),
        left_out=(LeftOut(name=platform.name, reason=reason),),
    )


def _prepare(
    benchmark: Benchmark, suite: Suite, backend: Backend, platform: Platform, record: Recorder
) -> _Prepared:
    prepared = _Prepared()
    for application in suite.applications:
        _prepare_application(prepared, application, benchmark, suite, backend, platform, record)
    names = {application.name for application in suite.applications}
    # the benchmark's side serves a comparison alone, which needs all applications
    if prepared.whole.keys() == names:
        prepared.whole[None] = backend.prepare(benchmark, platform)
    if prepared.loose.keys() == names:
        calls, stages = convolutions.of_benchmark(benchmark)
        prepared.loose[None] = backend.prepare_convolutions(calls, stages, platform)
    return prepared


def _prepare_application(
    prepared: _Prepared,
    application: Application,
    benchmark: Benchmark,
    suite: Suite,
    backend: Backend,
    platform: Platform,
    record: Recorder,
) -> None:
    function, inputs = load_application(suite, application)
    try:  # recorded first: preparing may move the application to another dtype
        recorded = record(function, inputs)
    except Exception as error:  # whatever a user's application raises
        reason = f"its convolutions cannot be recorded: {type(error).__name__}: {error}"
        prepared.left_out.append(LeftOut(name=application.name, reason=reason))
    else:
        calls, stages = convolutions.of_application(recorded.calls, benchmark)
        macs = sum(ops.cost(call).macs or 0 for call in calls)
        prepared.suite_macs += application.weight * macs
        try:
            loose = backend.prepare_convolutions(calls, stages, platform)
            prepared.loose[application.name] = loose
        except (UnsupportedError, MissingPackageError) as error:
            reason = f"its convolutions: {error}"
            prepared.left_out.append(LeftOut(name=application.name, reason=reason))
    try:
        whole = backend.prepare_application(function, inputs, platform)
        prepared.whole[application.name] = whole
    except (UnsupportedError, MissingPackageError) as error:
        prepared.left_out.append(LeftOut(name=application.name, reason=str(error)))


def _group_rows(
    benchmark: Benchmark, suite: Suite, loose: dict[str | None, Samples]
) -> tuple[list[FidelityRow], list[LeftOut]]:
    if None not in loose:
        return [], []
    rows, left_out = [], []
    for number, stage in enumerate(benchmark.stages):
        real = _weighted(suite, loose, partial(_part, number))
        if not median(real):
            reason = "no application of the suite has a convolution of its size"
            left_out.append(LeftOut(name=stage.name, reason=reason))
            continue
        synthetic = [_part(number, parts) for parts in loose[None]]
        predicted = stage.multiplicity * median(synthetic)
        rows.append(_row(stage.name, real, synthetic, predicted, stage.multiplicity))
    return rows, left_out


def _total_row(
    name: str, benchmark: Benchmark, suite: Suite, times: dict[str | None, Samples]
) -> FidelityRow | None:
    if None not in times:
        return None
    real = _weighted(suite, times, sum)
    if not median(real):
        return None
    multiplicities = [stage.multiplicity for stage in benchmark.stages]
    predicted = [
        sum(m * seconds for m, seconds in zip(multiplicities, parts, strict=True))
        for parts in times[None]
    ]
    return _row(name, real, list(map(sum, times[None])), median(predicted))


def _weighted(
    suite: Suite, times: dict[str | None, Samples], pick: Callable[[list[float]], float]
) -> list[float]:
    """Per round, the suite's time: the sum of weight x what ``pick`` takes of an application."""
    columns = [
        [application.weight * pick(parts) for parts in times[application.name]]
        for application in suite.applications
    ]
    return [sum(values) for values in zip(*columns, strict=True)]


def _part(number: int, parts: list[float]) -> float:
    """Part ``number``; 0 where an application has nothing from there on."""
    return parts[number] if number < len(parts) else 0.0


def _row(
    name: str,
    real: list[float],
    synthetic: list[float],
    predicted: float,
    multiplicity: float | None = None,
) -> FidelityRow:
    return FidelityRow(
        name=name,
        real=Timing(samples=tuple(real)),
        synthetic=Timing(samples=tuple(synthetic)),
        multiplicity=multiplicity,
        predicted_seconds=predicted,
        error=predicted / median(real) - 1,
    )


def _timings(suite: Suite, whole: dict[str | None, Samples]) -> list[ApplicationTiming]:
    return [
        ApplicationTiming(
            name=application.name,
            weight=application.weight,
            timing=Timing(samples=tuple(sum(parts) for parts in whole[application.name])),
        )
        for application in suite.applications
        if application.name in whole
    ]
