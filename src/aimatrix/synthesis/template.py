"""What a stage is made of before its widths are known: the filters of a group, in a fixed order.

How counts become layers, how often a stage stands for its like, and which layers form the chain
and which are branches is decided here and nowhere else (`docs/benchmark.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

from aimatrix.model.artefact import expand
from aimatrix.model.profile import Filter, Group

#: A stage of more layers would be no small benchmark; its group is then scaled by multiplicity.
MAX_LAYERS = 64

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LayerTemplate:
    """A layer without its widths."""

    kernel_size: Pair
    stride: Pair
    padding: Pair
    depthwise: bool

    @property
    def main(self) -> bool:
        """Whether the layer keeps the size of its input, and so can be part of the chain."""
        kept = tuple(2 * pad + 1 for pad in self.padding)
        return self.stride == (1, 1) and self.kernel_size == kept


@dataclass(frozen=True, slots=True)
class StageTemplate:
    """A stage without its widths; targets are those of the whole group.

    multiplicity: how often the group does the work of one execution of the stage.
    """

    name: str
    center: int
    input_size: Pair
    batch: int
    multiplicity: float
    layers: tuple[LayerTemplate, ...]
    target_macs: int
    target_warps: int


def stage_choices(groups: Sequence[Group]) -> list[list[StageTemplate]]:
    """For each group, from large inputs to small ones, its templates from short to long.

    The shortest has the counts of the filters divided by what all counts of all groups share: a
    log of a thousand inferences and a log of one give the same model, and multiplicity says how
    often it is done. Where so few layers leave no match, longer ones are there to be tried: less
    divided, and at last with each layer twice and four times. A group of more than
    `MAX_LAYERS` layers is scaled down to about so many. All stages run at one batch: that of the
    group with the most MACs.
    """
    repeats = reduce(gcd, (item.count for group in groups for item in group.filters))
    batch = max(1, round(max(groups, key=lambda group: group.macs).batch))
    ordered = sorted(groups, key=lambda group: group.center, reverse=True)
    return [
        [_stage(group, counts, batch) for counts in _count_choices(group, repeats)]
        for group in ordered
    ]


def _count_choices(group: Group, repeats: int) -> list[list[int]]:
    """Layers of each filter, from few to many."""
    counts = [item.count for item in group.filters]
    total = sum(counts)
    if total // repeats > MAX_LAYERS:
        # warps come in fours, and the share of a stage need not: other lengths may meet it
        lengths = range(MAX_LAYERS, MAX_LAYERS - 8, -1)
        return [_apportioned(counts, length) for length in lengths]
    least = total // repeats
    shares = [n for n in range(1, MAX_LAYERS // least + 1) if repeats % n == 0]
    choices = [[count * n // repeats for count in counts] for n in shares]
    longest = choices[-1]
    more = [[count * copies for count in longest] for copies in (2, 4)]
    return choices + [choice for choice in more if sum(choice) <= MAX_LAYERS]


def _apportioned(counts: Sequence[int], layers: int) -> list[int]:
    """Shares of ``layers`` in proportion to counts, by largest remainder; none vanishes."""
    total = sum(counts)
    shares = [max(1, count * layers // total) for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(counts[i] * layers % total), i))
    for index in by_remainder[: max(0, layers - sum(shares))]:
        shares[index] += 1
    return shares


def _stage(group: Group, counts: Sequence[int], batch: int) -> StageTemplate:
    layers = _spread(
        [
            (_layer(item, group.input_size), count)
            for item, count in zip(group.filters, counts, strict=True)
        ]
    )
    return StageTemplate(
        name=group.name,
        center=group.center,
        input_size=group.input_size,
        batch=batch,
        multiplicity=group.calls / len(layers) * group.batch / batch,
        # branches first, as the specification has them; sorting keeps the order otherwise
        layers=tuple(sorted(layers, key=lambda layer: layer.main)),
        target_macs=group.macs,
        target_warps=group.warps,
    )


def _layer(item: Filter, input_size: Pair) -> LayerTemplate:
    kernel, stride = _pair(item.kernel_size), _pair(item.stride)
    layer = LayerTemplate(kernel, stride, _pair(item.padding), item.depthwise)
    same = (kernel[0] // 2, kernel[1] // 2)
    too_small = any(
        side + 2 * pad < size
        for side, pad, size in zip(input_size, layer.padding, kernel, strict=True)
    )
    # a kernel must fit into its padded input
    return LayerTemplate(kernel, stride, same, item.depthwise) if too_small else layer


def _pair(value: int | tuple[int, ...]) -> Pair:
    height, width = expand(value)
    return height, width


def _spread(counted: Sequence[tuple[LayerTemplate, int]]) -> list[LayerTemplate]:
    """Layers of each kind spread evenly over the stage, as networks mix their filters.

    The k-th of n copies belongs at (k + 1/2) / n of the way; ties keep the given order.
    """
    places = [
        ((2 * copy + 1) / (2 * count), number, layer)
        for number, (layer, count) in enumerate(counted)
        for copy in range(count)
    ]
    return [layer for _, _, layer in sorted(places, key=lambda place: place[:2])]
