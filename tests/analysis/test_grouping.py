"""Centres of sizes: found in the data, and which one a size belongs to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimatrix.analysis.grouping import find_centers, nearest_center

weights = st.dictionaries(st.integers(1, 5000), st.integers(1, 10**12), min_size=1, max_size=30)


@given(weights)
def test_every_size_is_within_an_octave_of_a_centre_that_occurs(sizes: dict[int, int]) -> None:
    centers = find_centers(sizes)
    assert set(centers) <= set(sizes)
    assert centers == sorted(set(centers), reverse=True)
    for size in sizes:
        center = nearest_center(size, centers)
        assert max(size / center, center / size) < 2


@given(weights, st.randoms(use_true_random=False))
def test_the_order_of_the_data_is_no_matter(sizes: dict[int, int], shuffle: random.Random) -> None:
    items = list(sizes.items())
    shuffle.shuffle(items)
    assert find_centers(dict(items)) == find_centers(sizes)


def test_the_size_with_most_work_is_the_centre() -> None:
    assert find_centers({224: 5, 227: 9, 112: 3, 55: 2, 56: 2, 27: 1, 28: 8}) == [227, 112, 56, 28]
    assert find_centers({224: 5, 113: 9}) == [113]


def test_no_sizes_have_no_centres() -> None:
    assert find_centers({}) == []


@pytest.mark.parametrize(
    ("size", "center"),
    [(27, 28), (13, 14), (8, 7), (1, 7), (1000, 224), (150, 112), (160, 224), (223.9, 224)],
)
def test_nearest_in_logarithm(size: float, center: int) -> None:
    assert nearest_center(size, [224, 112, 56, 28, 14, 7]) == center


@pytest.mark.parametrize(
    ("size", "centers"),
    [(14, (7, 28)), (6, (4, 9)), (35, (25, 49)), (63, (49, 81)), (77, (49, 121))],
)
def test_of_two_equally_near_ones_the_larger(size: int, centers: tuple[int, int]) -> None:
    assert nearest_center(size, centers) == centers[1]
    assert nearest_center(size, centers[::-1]) == centers[1]
