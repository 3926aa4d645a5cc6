"""What a mix's benchmark predicts for one application: how much of it each stage stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from aimatrix.analysis.likeness import Key, apart, kind_of_block, leader_of, sizes, sizes_of_block
from aimatrix.model.block import Block
from aimatrix.model.mix import MixBenchmark
from aimatrix.synthesis.condense import DOUBT_OF_OCTAVE, DOUBT_OF_STRUCTURE
from aimatrix.synthesis.machines import Array, seconds, sort_of, times


def attribute(
    counts: Mapping[Block, int], benchmark: MixBenchmark, device: str = "cpu"
) -> list[float]:
    """Per stage, how many of its executions stand for the blocks of an application.

    A block belongs to the stage, among those with the same leading operator, whose time is most
    like the block's: on the imagined machines that are like the device the ratio of the two differs
    least from machine to machine; what is farther away in size, or of another structure, is trusted
    less, as when stages are made. What the block takes of an execution is the geometric mean of the
    ratios. What no stage is like is taken to be like the rest of the application: a benchmark
    leaves out only kinds that take next to no time.
    """
    stages = _Stages(benchmark, sort_of(device))
    executions = np.zeros(len(benchmark.stages))
    told = untold = 0.0
    each = seconds(list(counts))
    total = each @ np.array(list(counts.values()), dtype=float)
    for column, (block, count) in enumerate(counts.items()):
        own = each[:, column] * count
        share = float((own / total).mean())
        number = stages.nearest(block, own)
        if number is None:
            untold += share
        else:
            told += share
            executions[number] += float(times(own, stages.once[:, number], stages.sort))
    if told:
        executions *= 1 + untold / told
    return [float(each) for each in executions]


class _Stages:
    """The stages by what they are like; once: seconds of one execution, (machines, stages)."""

    def __init__(self, benchmark: MixBenchmark, sort: slice) -> None:
        self.sort = sort
        self._centers = [stage.center for stage in benchmark.stages]
        self._kinds = [kind_of_block(stage.block) for stage in benchmark.stages]
        self._by_leader: defaultdict[Key, list[int]] = defaultdict(list)
        for number, stage in enumerate(benchmark.stages):
            self._by_leader[leader_of(stage.block)].append(number)
        repeats = np.array([stage.repeats for stage in benchmark.stages])
        self.once: Array = seconds([stage.block for stage in benchmark.stages]) * repeats

    def nearest(self, block: Block, own: Array) -> int | None:
        """The stage that is most like a block of ``own`` seconds; None where none is like it."""
        numbers = self._by_leader.get(leader_of(block), [])
        if not numbers:
            return None
        ratios = np.log(own[self.sort, None] / self.once[self.sort][:, numbers])
        differs = np.abs(ratios - ratios.mean(axis=0)).max(axis=0)
        kind, lead, all_sizes = kind_of_block(block), sizes(block.calls[0]), sizes_of_block(block)

        def unlike(index: int) -> float:
            number = numbers[index]
            if self._kinds[number] == kind:
                far, other = apart(self._centers[number], all_sizes), 0.0
            else:
                far, other = apart(self._centers[number][: len(lead)], lead), DOUBT_OF_STRUCTURE
            return float(differs[index]) + DOUBT_OF_OCTAVE * far + other

        return numbers[min(range(len(numbers)), key=unlike)]
