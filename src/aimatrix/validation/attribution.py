"""What a mix's benchmark predicts for one application: how much of it each stage stands for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from aimatrix.analysis.likeness import Key, apart, kind_of, sizes
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.synthesis.machines import seconds


def attribute(calls: Iterable[OpCall], benchmark: MixBenchmark) -> list[float]:
    """Per stage, how many of its executions stand for ``calls``.

    A call belongs to the stage of its kind whose centre is nearest in size; what it takes of an
    execution is the geometric mean of the ratios on the imagined machines. A call whose kind no
    stage has is not told; a benchmark leaves out only kinds that take next to no time.
    """
    centers: defaultdict[Key, list[int]] = defaultdict(list)
    for number, stage in enumerate(benchmark.stages):
        centers[kind_of(stage.calls[0])].append(number)
    once = _seconds_of_stages(benchmark)
    executions = [0.0] * len(benchmark.stages)
    counts = Counter(call for call in calls if call.family != "unknown")
    for call, count in counts.items():
        like = centers.get(kind_of(call))
        if like:
            number = _nearest(benchmark, like, sizes(call))
            ratios = seconds([call])[:, 0] * count / once[:, number]
            executions[number] += float(np.exp(np.log(ratios).mean()))
    return executions


def _seconds_of_stages(benchmark: MixBenchmark) -> np.ndarray:
    """Seconds of one execution, of shape (machines, stages)."""
    columns = [seconds(stage.calls).sum(axis=1) * stage.repeats for stage in benchmark.stages]
    return np.stack(columns, axis=1)


def _nearest(benchmark: MixBenchmark, numbers: Sequence[int], own: tuple[float, ...]) -> int:
    return min(numbers, key=lambda number: apart(benchmark.stages[number].center, own))
