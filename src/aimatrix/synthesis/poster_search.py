"""The poster's search: a genetic algorithm over 10-bit binary numbers of filters.

5000 individuals, 50 iterations, crossover and mutation. What the poster leaves open is chosen as in
the textbook: tournaments of two, one cut through the whole string, each bit flipped with a
probability of half a bit a string, the best individual kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimatrix.synthesis.problem import Population, Problem, Vector

BITS = 10
INDIVIDUALS = 5000
ITERATIONS = 50
MUTATED_BITS = 0.5

Bits = NDArray[np.bool_]


class PosterSearch:
    """See the module; a width of 0 counts as 1."""

    def __init__(self, problem: Problem, random: np.random.Generator) -> None:
        self._random = random
        self._length = problem.genes * BITS
        self._bits: Bits = random.random((INDIVIDUALS, self._length)) < 0.5
        self._iteration = 0

    def ask(self) -> Population | None:
        """The current generation."""
        if self._iteration == ITERATIONS:
            return None
        return _decode(self._bits)

    def tell(self, population: Population, fitness: Vector) -> None:
        """Breed the next generation."""
        self._iteration += 1
        best = self._bits[int(np.argmin(fitness))]
        mothers, fathers = self._select(fitness), self._select(fitness)
        children = np.where(self._cuts(), self._bits[mothers], self._bits[fathers])
        flips = self._random.random(children.shape) < MUTATED_BITS / self._length
        self._bits = children ^ flips
        self._bits[0] = best

    def _select(self, fitness: Vector) -> NDArray[np.int64]:
        """Winners of tournaments of two."""
        pairs = self._random.integers(0, INDIVIDUALS, (INDIVIDUALS, 2))
        first_wins = fitness[pairs[:, 0]] <= fitness[pairs[:, 1]]
        winners: NDArray[np.int64] = np.where(first_wins, pairs[:, 0], pairs[:, 1])
        return winners

    def _cuts(self) -> Bits:
        """True up to a random cut through each string."""
        cut = self._random.integers(1, self._length, (INDIVIDUALS, 1))
        before: Bits = np.arange(self._length) < cut
        return before


def _decode(bits: Bits) -> Population:
    digits = bits.reshape(len(bits), -1, BITS).astype(np.int64)
    widths: Population = (digits << np.arange(BITS)).sum(axis=2)
    return np.maximum(widths, 1)
