"""What a mix's benchmark predicts for one application: how much of it each stage stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from aimatrix.analysis.likeness import Key, apart, kind_of_block, leader_of, sizes, sizes_of_block
from aimatrix.model.block import Block
from aimatrix.model.mix import MixBenchmark
from aimatrix.synthesis.machines import Array, seconds, sort_of, times


def attribute(
    counts: Mapping[Block, int], benchmark: MixBenchmark, device: str = "cpu"
) -> list[float]:
    """Per stage, how many of its executions stand for the blocks of an application.

    A block belongs to the stage of its kind whose centre is nearest in size; where there is none of
    its kind, of those with the same leading operator. What it takes of an execution is the
    geometric mean of the ratios on the imagined machines that are like the device. What no stage is
    like is taken to be like the rest of the application: a benchmark leaves out only kinds that
    take next to no time.
    """
    stages = _Stages(benchmark)
    executions = np.zeros(len(benchmark.stages))
    told = untold = 0.0
    each, sort = seconds(list(counts)), sort_of(device)
    total = each @ np.array(list(counts.values()), dtype=float)
    for column, (block, count) in enumerate(counts.items()):
        own = each[:, column] * count
        share = float((own / total).mean())
        number = stages.nearest(block)
        if number is None:
            untold += share
        else:
            told += share
            executions[number] += float(times(own, stages.once[:, number], sort))
    if told:
        executions *= 1 + untold / told
    return [float(each) for each in executions]


class _Stages:
    """The stages by what they are like; once: seconds of one execution, (machines, stages)."""

    def __init__(self, benchmark: MixBenchmark) -> None:
        self._centers = [stage.center for stage in benchmark.stages]
        self._by_kind: defaultdict[Key, list[int]] = defaultdict(list)
        self._by_leader: defaultdict[Key, list[int]] = defaultdict(list)
        for number, stage in enumerate(benchmark.stages):
            self._by_kind[kind_of_block(stage.block)].append(number)
            self._by_leader[leader_of(stage.block)].append(number)
        repeats = np.array([stage.repeats for stage in benchmark.stages])
        self.once: Array = seconds([stage.block for stage in benchmark.stages]) * repeats

    def nearest(self, block: Block) -> int | None:
        """The stage that is most like a block; None where none is like it."""
        like = self._by_kind.get(kind_of_block(block))
        if like:
            return self._nearest(like, sizes_of_block(block))
        return self._nearest(self._by_leader.get(leader_of(block), []), sizes(block.calls[0]))

    def _nearest(self, numbers: Sequence[int], own: tuple[float, ...]) -> int | None:
        def far(number: int) -> float:
            return apart(self._centers[number][: len(own)], own)

        return min(numbers, key=far, default=None)
