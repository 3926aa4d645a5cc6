"""Repeats a benchmark's pass until the spread of its time is small or the time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from aimatrix.backends import Backend, Pass
from aimatrix.backends.allocator import keep_freed_memory
from aimatrix.model.benchmark import Benchmark, Stage
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.model.result import Platform, RunResult, StageTiming, Timing
from aimatrix.store.documents import digest

WARM_UP_PASSES = 2
MIN_PASSES = 10
#: enough for steady percentiles, and a bound for benchmarks of microseconds
MAX_PASSES = 1000
#: (p90 - p10) / median of the whole pass at which it counts as steady
STEADY_SPREAD = 0.05


def run_benchmark(
    benchmark: Benchmark | MixBenchmark,
    backend: Backend,
    platform: Platform,
    *,
    time_limit: float = 30.0,
    progress: Callable[[float], None] | None = None,
) -> RunResult:
    """Run ``benchmark`` on ``platform`` and return its times.

    After warm-up, passes repeat until at least `MIN_PASSES` spread by less than `STEADY_SPREAD`,
    or for ``time_limit`` seconds (one pass at least). ``progress`` is called with the
    share of the time that has gone, from 0 to 1. Raises UnsupportedError or MissingPackageError
    when the platform cannot run it.
    """
    keep_freed_memory()
    if isinstance(benchmark, MixBenchmark):
        prepared = backend.prepare_mix(benchmark, platform)
    else:
        prepared = backend.prepare(benchmark, platform)
    for _ in range(WARM_UP_PASSES):
        prepared.run()
    passes = _repeat(prepared, time_limit, progress)
    named: Sequence[Stage | MixStage] = benchmark.stages
    timed = zip(named, zip(*passes, strict=True), strict=True)
    stages = tuple(
        StageTiming(
            name=stage.name,
            center=stage.center if isinstance(stage, Stage) else None,
            multiplicity=_multiplicity(stage, platform),
            timing=Timing(samples=samples),
        )
        for number, (stage, samples) in enumerate(timed)
        if number not in prepared.missing
    )
    total = _total(passes)
    return RunResult.create(
        platform=platform,
        environment=backend.environment(platform),
        benchmark_digest=digest(benchmark),
        total=total,
        stages=stages,
        predicted_seconds=sum(stage.multiplicity * stage.timing.median for stage in stages),
        steady=_is_steady(passes),
        not_run=tuple(named[number].name for number in sorted(prepared.missing)),
    )


def _multiplicity(stage: Stage | MixStage, platform: Platform) -> float:
    if isinstance(stage, MixStage):
        return stage.multiplicity_on(platform.device)
    return stage.multiplicity


def _repeat(
    prepared: Pass, time_limit: float, progress: Callable[[float], None] | None
) -> list[list[float]]:
    """Seconds per stage of each pass."""
    passes: list[list[float]] = []
    start = perf_counter()
    while len(passes) < MAX_PASSES and not _is_steady(passes):
        passes.append(prepared.run())
        gone = perf_counter() - start
        if progress is not None:
            progress(min(1.0, gone / time_limit) if time_limit > 0 else 1.0)
        if gone >= time_limit:
            break
    return passes


def _is_steady(passes: list[list[float]]) -> bool:
    return len(passes) >= MIN_PASSES and _total(passes).spread < STEADY_SPREAD


def _total(passes: list[list[float]]) -> Timing:
    return Timing(samples=tuple(map(sum, passes)))
