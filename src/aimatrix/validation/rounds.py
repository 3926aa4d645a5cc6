"""Interleaved repetition: what is compared runs in turn, so that a busy moment hits all alike."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from aimatrix.backends import Pass

MIN_ROUNDS = 3
MAX_ROUNDS = 50


def interleave(
    passes: Sequence[Pass], time_limit: float, least: int = 1
) -> list[list[list[float]]]:
    """Run all passes in rounds, each round beginning with the next one of them.

    Returns per round, per pass, the seconds of its parts. Rounds go on while another one fits
    into ``time_limit`` seconds; there are at least `MIN_ROUNDS` as long as the limit is not yet
    over, ``least`` of them whatever it is, and at most `MAX_ROUNDS`.
    """
    rounds: list[list[list[float]]] = []
    start = perf_counter()
    while len(rounds) < MAX_ROUNDS:
        began = perf_counter()
        times: list[list[float]] = [[] for _ in passes]
        for turn in range(len(passes)):
            number = (turn + len(rounds)) % len(passes)
            times[number] = passes[number].run()
        rounds.append(times)
        if len(rounds) < least:
            continue
        now = perf_counter()
        fits = (now - start) + (now - began) <= time_limit
        if now - start >= time_limit or (len(rounds) >= MIN_ROUNDS and not fits):
            break
    return rounds
