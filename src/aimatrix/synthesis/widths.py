"""The genetic search for a stage's widths: the sizes at which it is like what it stands for.

A candidate is a tuple of `aimatrix.ops.blocks.widths`, done as often as gives it the time of the
stage's target. Its fitness is in the poster's form, |x - target| / target: half for that time on
each of the imagined machines, half for its MACs, bytes and warps together. It may not take longer
than what the search starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aimatrix.model.block import Block
from aimatrix.ops import blocks
from aimatrix.synthesis.machines import Array, seconds, sort_of, times, times_on_each

POPULATION = 24
GENERATIONS = 20
#: a fitness error at which the search is over
ENOUGH = 2e-3
#: how far a mutation goes, as the deviation of the logarithm of a width
STEP = 0.3
#: the factor by which a width may change at most: farther off, kernels are others
MOST_FACTOR = 1.25
#: widths are multiples of this where they were: kernels are tuned for round ones
MOST_GRAIN = 64

Widths = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What a stage stands for, in all: seconds on each imagined machine, and the sums of its costs.

    most: the seconds that one block may take at most, on each machine.
    """

    seconds: Array
    macs: float
    bytes: float
    warps: float
    most: Array

    def times(self, block: Block, device: str) -> float:
        """How many of ``block`` take the time of the target on machines like a device."""
        return float(times(self.seconds, seconds([block])[:, 0], sort_of(device)))

    def errors(self, candidates: Sequence[Block]) -> list[float]:
        """The fitness error of each block: 0.01 is one percent."""
        each = seconds(candidates)
        repeated = times_on_each(self.seconds[:, None], each)
        late = np.abs(each * repeated / self.seconds[:, None] - 1).mean(axis=0)
        larger = np.maximum(each / self.most[:, None] - 1, 0).mean(axis=0)
        return [
            0.5 * float(late[index] + self._apart(block, float(repeated[:, index].mean())))
            + float(larger[index])
            for index, block in enumerate(candidates)
        ]

    def _apart(self, block: Block, repeated: float) -> float:
        cost = blocks.cost(block)
        pairs = [
            (cost.macs or 0, self.macs),
            (cost.bytes, self.bytes),
            (cost.warps or 0, self.warps),
        ]
        terms = [abs(repeated * value - target) / target for value, target in pairs if target]
        return sum(terms) / max(1, len(terms))


def find_widths(start: Block, target: Target, rng: np.random.Generator) -> tuple[Block, float]:
    """The block like ``start`` that is most like ``target``, and its fitness error.

    The same block for the same state of ``rng``, on any machine.
    """
    first = tuple(blocks.widths(start))
    errors: dict[Widths, float] = {first: target.errors([start])[0]}
    if not first or min(first) < 1:
        return start, errors[first]
    grains = [_grain(width) for width in first]
    population = [first]
    for _ in range(GENERATIONS):
        bred = _bred(population, grains, rng)
        fresh = {
            widths: block
            for widths in bred
            if widths not in errors
            and all(_is_near(*pair) for pair in zip(widths, first, strict=True))
            and (block := blocks.with_widths(start, widths)) is not None
        }
        errors.update(zip(fresh, target.errors(list(fresh.values())), strict=True))
        bred = [widths for widths in bred if widths in errors]
        population = sorted(bred, key=lambda widths: (errors[widths], widths))[:POPULATION]
        if errors[population[0]] <= ENOUGH:
            break
    best = population[0]
    return blocks.with_widths(start, best) or start, errors[best]


def _is_near(width: int, start: int) -> bool:
    return start <= width * MOST_FACTOR and width <= start * MOST_FACTOR


def _grain(width: int) -> int:
    """The largest power of two that divides a width, at most a quarter of it and `MOST_GRAIN`."""
    grain = MOST_GRAIN
    while grain > 1 and (width % grain or width < 4 * grain):
        grain //= 2
    return grain


def _bred(
    population: Sequence[Widths], grains: Sequence[int], rng: np.random.Generator
) -> list[Widths]:
    """The population and as many children: crossed widths, each changed by some percent."""
    children = set(population)
    for _ in range(POPULATION):
        mother, father = (population[int(rng.integers(len(population)))] for _ in range(2))
        takes = rng.random(len(mother)) < 0.5
        # small steps as often as large ones: near a match only whole numbers nearby are of use
        factors = np.exp(rng.normal(0.0, STEP * rng.random() ** 2, len(mother)))
        children.add(
            tuple(
                grain * max(1, round(float((a if take else b) * factor / grain)))
                for a, b, take, factor, grain in zip(
                    mother, father, takes, factors, grains, strict=True
                )
            )
        )
    return sorted(children)
