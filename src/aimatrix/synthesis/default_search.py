"""Our search: a small genetic algorithm finds the region, an integer local search the match.

What makes it exact: MACs are linear in every single width, so candidates get one width solved for
(`Problem.solve_gene`); the random moves only have to find the warps. What makes the result look
like a network: it first looks among even, round widths (multiples of 16 within a factor of 4 of
each other, as people choose and kernels are tuned for), and allows odder ones only as long as no
match is found. Integers and correctly rounded floating point alone are used, so that a seed gives
one result everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimatrix.synthesis.problem import MAX_WIDTH, Population, Problem, Vector

INDIVIDUALS = 256
GENERATIONS = 24
NEIGHBOURS = 512
#: local steps without progress before another start is taken, and how many starts there are
PATIENCE = 40
STARTS = 4
#: a match to 0.005 % of what is possible is a match: round widths are worth more than digits
GOOD_ENOUGH = 5e-5


@dataclass(frozen=True, slots=True)
class Region:
    """Where to look: widths that are multiples of grid, at most a factor of reach apart."""

    grid: int
    reach: int


REGIONS = (
    Region(16, 4),
    Region(8, 4),
    Region(4, 4),
    Region(2, 8),
    Region(1, 8),
    # hard targets (few layers, narrow ones) get more than one try
    *(Region(1, 64), Region(1, MAX_WIDTH)) * 2,
)


class DefaultSearch:
    """See the module. The stage's input width may be anything: it is free, and moves no warps."""

    def __init__(self, problem: Problem, random: np.random.Generator) -> None:
        self._problem = problem
        self._random = random
        self._regions = iter(REGIONS)
        self._equal = _equal_width(problem)
        self._good_enough = problem.least_fitness + GOOD_ENOUGH
        self._done = False
        self._enter(next(self._regions))

    def ask(self) -> Population | None:
        """A generation first; later the neighbours of the best candidate so far."""
        if self._done:
            return None
        if self._local is not None:
            return self._neighbours(self._local.genes)
        return self._offspring() if self._generation else self._population

    def tell(self, population: Population, fitness: Vector) -> None:
        """Keep the better half of the old and the new, or move the incumbent."""
        if fitness.min() <= self._good_enough:
            self._done = True
        elif self._local is None:
            self._survive(population, fitness)
        elif not self._local.moved(population, fitness) and self._local.stuck_for >= PATIENCE:
            self._begin_local()

    def _enter(self, region: Region) -> None:
        """Begin anew in a region: its bounds and grid per gene, and a first population."""
        genes = self._problem.genes
        self._grid = np.full(genes, region.grid, np.int64)
        self._low = np.maximum(self._equal // region.reach // self._grid, 1) * self._grid
        highest = min(MAX_WIDTH, self._equal * region.reach)
        self._high = np.maximum(highest // self._grid * self._grid, self._low)
        self._grid[0] = 1
        self._low[0] = max(1, self._equal // (4 * region.reach))  # images have few channels
        self._high[0] = highest
        self._contrasts = min(region.reach.bit_length() - 2, 6)
        self._local: _Incumbent | None = None
        self._generation = self._start = 0
        self._population = self._first_population()
        self._fitness: Vector = np.full(INDIVIDUALS, np.inf)

    def _survive(self, population: Population, fitness: Vector) -> None:
        everyone = np.concatenate([self._population, population])
        values = np.concatenate([self._fitness, fitness])
        order = np.argsort(values, kind="stable")[:INDIVIDUALS]
        self._population, self._fitness = everyone[order], values[order]
        self._generation += 1
        if self._generation == GENERATIONS:
            self._begin_local()

    def _begin_local(self) -> None:
        """Start from the next best of the population; when all are used up, look further out."""
        if self._start < STARTS:
            genes, fitness = self._population[self._start], self._fitness[self._start]
            self._local = _Incumbent(genes, float(fitness))
            self._start += 1
            return
        region = next(self._regions, None)
        if region is None:
            self._done = True
        else:
            self._enter(region)

    def _first_population(self) -> Population:
        """Around equal widths that do the target's MACs, each width up to four times off.

        In a wide region, rows are also hourglasses, wide and narrow widths in turn: bottlenecks
        reach many warps with few MACs.
        """
        shape = (INDIVIDUALS, self._problem.genes)
        wide = (np.arange(self._problem.genes) + self._random.integers(0, 2, (INDIVIDUALS, 1))) % 2
        contrast = 1 << self._random.integers(0, self._contrasts, (INDIVIDUALS, 1))
        widths = np.where(wide, self._equal * contrast, self._equal // contrast)
        spread = widths * self._random.integers(64, 1024, shape) // 256
        return self._solve_some_gene(self._snap(spread))

    def _offspring(self) -> Population:
        """Uniform crossover of two survivors, some widths scaled, one width solved for."""
        parents = self._random.integers(0, INDIVIDUALS, (2, INDIVIDUALS))
        shape = self._population.shape
        mask = self._random.random(shape) < 0.5
        children = np.where(mask, self._population[parents[0]], self._population[parents[1]])
        scaled = children * self._random.integers(192, 342, shape) // 256
        mutate = self._random.random(shape) < 2 / self._problem.genes
        return self._solve_some_gene(self._snap(np.where(mutate, scaled, children)))

    def _neighbours(self, genes: Population) -> Population:
        """One to three widths changed by a little, more rarely by a lot; half of them solved."""
        rows = np.tile(genes, (NEIGHBOURS, 1))
        reach = 1 << self._random.integers(0, 7, (NEIGHBOURS, 1))
        steps = self._random.integers(-64, 65, rows.shape) * reach // 64 * self._grid
        chosen = self._random.random(rows.shape) < 2 / self._problem.genes
        rows = self._snap(np.where(chosen, rows + steps, rows))
        half = NEIGHBOURS // 2
        return np.concatenate([self._solve_some_gene(rows[:half]), rows[half:]])

    def _solve_some_gene(self, population: Population) -> Population:
        """Solve one width of each candidate: the stage's input in half of them, else any."""
        genes: NDArray[np.int64] = self._random.integers(0, self._problem.genes, len(population))
        genes[self._random.random(len(population)) < 0.5] = 0
        return self._snap(self._problem.solve_gene(population, genes, MAX_WIDTH))

    def _snap(self, population: Population) -> Population:
        """The nearest candidates inside the region."""
        on_grid = (population + self._grid // 2) // self._grid * self._grid
        snapped: Population = np.clip(on_grid, self._low, self._high)
        return snapped


def _equal_width(problem: Problem) -> int:
    """The largest equal width whose MACs stay under the target, by bisection."""
    low, high = 1, MAX_WIDTH
    while low < high:
        middle = (low + high + 1) // 2
        row = np.full((1, problem.genes), middle, np.int64)
        if problem.macs(row)[0] <= problem.target_macs:
            low = middle
        else:
            high = middle - 1
    return low


class _Incumbent:
    """The candidate that the local search stands on, and since when it has not moved."""

    def __init__(self, genes: Population, fitness: float) -> None:
        self.genes = genes
        self.fitness = fitness
        self.stuck_for = 0

    def moved(self, population: Population, fitness: Vector) -> bool:
        """Step to the best neighbour if it is better."""
        index = int(np.argmin(fitness))
        if fitness[index] < self.fitness:
            self.genes, self.fitness, self.stuck_for = population[index], float(fitness[index]), 0
            return True
        self.stuck_for += 1
        return False
