"""The interface of a search (ask for candidates, tell their fitness) and the loop around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aimatrix.errors import InputError
from aimatrix.synthesis.default_search import DefaultSearch
from aimatrix.synthesis.poster_search import PosterSearch
from aimatrix.synthesis.problem import Population, Problem, Vector


class Search(Protocol):
    """Proposes candidates for one problem. Seeded; the same answers give the same questions."""

    def ask(self) -> Population | None:
        """The next candidates, one a row, genes of at least 1; None when it has finished."""

    def tell(self, population: Population, fitness: Vector) -> None:
        """Take the fitness of what `ask` gave; small is good."""


#: name -> makes a search from a problem and a random generator
SEARCHES: dict[str, Callable[[Problem, np.random.Generator], Search]] = {
    "default": DefaultSearch,
    "poster": PosterSearch,
}


@dataclass(frozen=True, slots=True)
class Found:
    """The best candidate of a search: its genes and its fitness."""

    genes: tuple[int, ...]
    fitness: float


def search_widths(problem: Problem, name: str, seed: int) -> Found:
    """Run the search ``name`` on ``problem``. The same seed gives the same genes, bit for bit.

    Raises InputError for a name that is not in `SEARCHES`, or a negative seed.
    """
    if seed < 0:
        raise InputError(f"the seed {seed} is negative; choose one of at least 0")
    if name not in SEARCHES:
        raise InputError(f"unknown search {name!r}; known are {', '.join(SEARCHES)}")
    search = SEARCHES[name](problem, np.random.Generator(np.random.PCG64(seed)))
    best: Found | None = None
    while (population := search.ask()) is not None:
        fitness = problem.fitness(population)
        index = int(np.argmin(fitness))
        if best is None or fitness[index] < best.fitness:
            genes = tuple(int(gene) for gene in population[index])
            best = Found(genes, float(fitness[index]))
        search.tell(population, fitness)
    if best is None:
        raise InputError(f"the search {name!r} proposed nothing")
    return best
