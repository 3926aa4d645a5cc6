"""Rounds: everything runs equally often, and each round begins with another one."""

from __future__ import annotations

import time

import numpy as np

from aimatrix.backends import Pass
from aimatrix.validation.rounds import MAX_ROUNDS, interleave


class Noted(Pass):
    def __init__(self, name: str, notes: list[str], seconds: float = 0.0) -> None:
        self.name, self.notes, self.seconds = name, notes, seconds

    def run(self) -> list[float]:
        time.sleep(self.seconds)
        self.notes.append(self.name)
        return [float(len(self.notes))]

    def outputs(self) -> list[np.ndarray]:
        return []


def test_rounds_rotate() -> None:
    notes: list[str] = []
    rounds = interleave([Noted(name, notes) for name in "abc"], time_limit=60)
    assert len(rounds) == MAX_ROUNDS
    assert "".join(notes[:12]) == "abcbcacababc"
    # whatever the order, times are handed back in the order of the passes
    assert rounds[1] == [[6.0], [4.0], [5.0]]


def test_one_round_is_all_that_a_slow_platform_gets() -> None:
    notes: list[str] = []
    assert len(interleave([Noted("a", notes, seconds=0.02)], time_limit=0.01)) == 1


def test_a_slow_platform_gets_the_least_rounds_that_are_asked_for() -> None:
    notes: list[str] = []
    passes = [Noted("a", notes, seconds=0.02)]
    assert len(interleave(passes, time_limit=0.01, least=5)) == 5
