"""What is told of an application's own time: from counted stretches alone, and with free ones."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from aimatrix.monitoring.agent.own_time import Meter, OwnTime, Stretch

#: ns: own time of a window, and for finding the slots of its tiny or large operators
OWN, TINY, LARGE = 3e6, 4e6, 1e4


def counted(cost: float, finding: float, tracked: int = 0) -> Stretch:
    """A slice of a window in which counting cost so many times the finding of slots."""
    return Stretch(OWN + cost * finding, finding, tracked)


def test_time_of_large_operators_is_the_applications() -> None:
    assert OwnTime(Meter()).of(counted(4.0, LARGE)) == pytest.approx(OWN, rel=0.01)


def test_a_free_stretch_is_its_own() -> None:
    assert OwnTime(Meter()).of(Stretch(OWN, 0, 7)) == OWN


@pytest.mark.parametrize("cost", [3.4, 4.0, 4.6])
def test_tracked_operators_tie_windows_to_gaps(cost: float) -> None:
    own_time = OwnTime(Meter())
    for _ in range(30):
        own_time.learn_free(Stretch(100 * OWN, 0, 100_000))
        own_time.learn_counted(counted(cost, TINY, 1000))
    assert own_time.of(counted(cost, TINY)) == pytest.approx(OWN, rel=0.1)
    assert own_time.of(counted(cost, LARGE)) == pytest.approx(OWN, rel=0.01)


def test_windows_that_are_alike_in_nothing_teach_little() -> None:
    own_time, expected = OwnTime(Meter()), OwnTime(Meter()).of(counted(4.0, TINY))
    for turn in range(30):
        own_time.learn_free(Stretch(100 * OWN, 0, 100_000))
        own_time.learn_counted(counted(4.0, TINY, 30_000 if turn % 15 == 0 else 0))
    assert own_time.of(counted(4.0, TINY)) == pytest.approx(expected, rel=0.3)


def test_nothing_is_learned_where_no_call_was_timed() -> None:
    own_time = OwnTime(Meter())
    for _ in range(30):
        own_time.learn_free(Stretch(100 * OWN, 0, 100_000))
        own_time.learn_counted(Stretch(OWN, 0, 1000))
    assert own_time.of(Stretch(OWN, 0, 1000)) == OWN
