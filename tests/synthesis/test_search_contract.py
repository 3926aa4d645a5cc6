"""What every search promises: parametrised over all of them."""

from __future__ import annotations

import numpy as np
import pytest

from aimatrix.errors import InputError
from aimatrix.synthesis.problem import Problem, make_problem
from aimatrix.synthesis.search import SEARCHES, search_widths
from aimatrix.synthesis.template import LayerTemplate, StageTemplate


@pytest.fixture(params=sorted(SEARCHES))
def search(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def problem() -> Problem:
    dense = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=False)
    strided = LayerTemplate((3, 3), (2, 2), (1, 1), depthwise=False)
    depthwise = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=True)
    layers = (strided, dense, depthwise, dense)
    return make_problem(StageTemplate("g", 28, (28, 28), 1, 1.0, layers, 98_765_432, 1_000))


def test_candidates_are_rows_of_positive_genes_and_the_search_ends(
    search: str, problem: Problem
) -> None:
    asked = SEARCHES[search](problem, np.random.default_rng(0))
    rounds = 0
    while (population := asked.ask()) is not None:
        rounds += 1
        assert population.ndim == 2
        assert population.shape[1] == problem.genes
        assert np.issubdtype(population.dtype, np.integer)
        assert population.min() >= 1
        # nothing ever fits: the search has to give up by itself
        asked.tell(population, np.full(len(population), 1.0))
        assert rounds < 10_000
    assert rounds > 0
    assert asked.ask() is None


def test_the_same_seed_finds_the_same_another_seed_need_not(search: str, problem: Problem) -> None:
    first, again, other = (search_widths(problem, search, seed) for seed in (7, 7, 8))
    assert first == again
    assert first.genes != other.genes or first.fitness == other.fitness


def test_what_is_found_is_the_best_that_was_asked(search: str, problem: Problem) -> None:
    found = search_widths(problem, search, 0)
    assert problem.fitness(np.array([found.genes]))[0] == found.fitness
    assert found.fitness < 0.05


@pytest.mark.parametrize("targets", [(1, 1), (10**15, 4), (9, 10**7)])
def test_targets_out_of_reach_still_give_a_candidate(search: str, targets: tuple[int, int]) -> None:
    layer = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=False)
    problem = make_problem(StageTemplate("g", 7, (7, 7), 1, 1.0, (layer,), *targets))
    found = search_widths(problem, search, 0)
    assert len(found.genes) == 2
    assert min(found.genes) >= 1
    assert np.isfinite(found.fitness)


def test_whole_warps_that_no_target_asks_for_are_no_reason_to_go_on() -> None:
    layer = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=False)
    # a share of 3 of 10 calls: 301.5 warps, where 300 and 304 can be had
    template = StageTemplate("g", 56, (56, 56), 1, 2.0, (layer,) * 4, 10**9, 603)
    problem = make_problem(template)
    found = search_widths(problem, "default", 0)
    assert problem.least_fitness == pytest.approx(0.5 * 1.5 / 301.5)
    assert found.fitness <= problem.least_fitness + 1e-4


def test_unknown_searches_and_negative_seeds_are_refused(problem: Problem) -> None:
    with pytest.raises(InputError, match="unknown search 'magic'; known are default, poster"):
        search_widths(problem, "magic", 0)
    with pytest.raises(InputError, match="seed -1"):
        search_widths(problem, "default", -1)
