"""One platform's fidelity of a mix: whole applications against what the benchmark predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from aimatrix import backends
from aimatrix.backends import Backend, Pass
from aimatrix.backends.allocator import keep_freed_memory
from aimatrix.errors import MissingPackageError, UnsupportedError
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
from aimatrix.validation.rounds import interleave
from aimatrix.validation.suite import Application, Suite, load_application

Recorder = Callable[[Callable[..., Any], Sequence[Any]], Recording]


@dataclass
class _Prepared:
    """Applications that the platform runs: their passes, and what stands for each, per stage."""

    passes: dict[str, Pass] = field(default_factory=dict)
    executions: dict[str, list[float]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def measure_mix(
    benchmark: MixBenchmark,
    suite: Suite,
    platform: Platform,
    *,
    time_limit: float,
    record: Recorder = convolutions.record,
) -> PlatformFidelity:
    """Measure the suite and the benchmark on ``platform`` for about ``time_limit`` seconds.

    Applications that the platform cannot run are named in ``left_out``, and nothing of them is
    predicted. Raises InputError for an application that cannot be made at all, UnsupportedError or
    MissingPackageError where the platform does not run the benchmark.
    """
    backend = backends.get(platform.backend)
    keep_freed_memory()
    prepared = _Prepared()
    for application in suite.applications:
        _prepare(prepared, application, suite, benchmark, backend, platform, record)
    own = backend.prepare_mix(benchmark, platform)
    rounds = interleave([*prepared.passes.values(), own], time_limit) if prepared.passes else []
    stages = [median(samples) for samples in zip(*(times[-1] for times in rounds), strict=True)]
    real = {
        name: [sum(times[number]) for times in rounds]
        for number, name in enumerate(prepared.passes)
    }
    predicted = {
        name: sum(map(_product, executions, stages))
        for name, executions in prepared.executions.items()
        if name in real
    }
    measured = [item for item in suite.applications if item.name in real]
    own_times = [sum(times[-1]) for times in rounds]
    return PlatformFidelity(
        platform=platform,
        environment=backend.environment(platform),
        groups=(),
        convolutions=None,
        whole=_row("whole suite", measured, real, predicted, own_times) if measured else None,
        classes=tuple(
            _row(name, members, real, predicted, own_times)
            for name, members in _by_class(measured).items()
        ),
        applications=tuple(
            ApplicationTiming(
                name=item.name,
                weight=item.weight,
                timing=Timing(samples=tuple(real[item.name])),
                predicted_seconds=predicted[item.name],
            )
            for item in measured
        ),
        left_out=tuple(prepared.left_out),
    )


def _prepare(
    prepared: _Prepared,
    application: Application,
    suite: Suite,
    benchmark: MixBenchmark,
    backend: Backend,
    platform: Platform,
    record: Recorder,
) -> None:
    function, inputs = load_application(suite, application)
    try:  # recorded first: preparing may move the application to another dtype
        recorded = record(function, inputs)
        passes = backend.prepare_application(function, inputs, platform)
    except (UnsupportedError, MissingPackageError) as error:
        prepared.left_out.append(LeftOut(name=application.name, reason=str(error)))
    except Exception as error:  # whatever a user's application raises
        reason = f"its operators cannot be recorded: {type(error).__name__}: {error}"
        prepared.left_out.append(LeftOut(name=application.name, reason=reason))
    else:
        prepared.passes[application.name] = passes
        prepared.executions[application.name] = attribute(recorded.calls, benchmark)


def _by_class(applications: Sequence[Application]) -> dict[str, list[Application]]:
    classes: dict[str, list[Application]] = {}
    for application in applications:
        if application.kind:
            classes.setdefault(application.kind, []).append(application)
    return classes


def _row(
    name: str,
    applications: Sequence[Application],
    real: Mapping[str, Sequence[float]],
    predicted: Mapping[str, float],
    own: Sequence[float],
) -> FidelityRow:
    """Weighted sums over applications, against one pass of the benchmark."""
    columns = [[item.weight * seconds for seconds in real[item.name]] for item in applications]
    samples = tuple(sum(values) for values in zip(*columns, strict=True))
    # the median of each application, as of each stage: an upset of one is not one of the sum
    expected = sum(item.weight * median(real[item.name]) for item in applications)
    total = sum(item.weight * predicted[item.name] for item in applications)
    return FidelityRow(
        name=name,
        real=Timing(samples=samples),
        synthetic=Timing(samples=tuple(own)),
        predicted_seconds=total,
        error=total / expected - 1,
    )


def _product(executions: float, seconds: float) -> float:
    return executions * seconds
