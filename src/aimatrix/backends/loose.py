"""Loose convolutions: the random weights and inputs on which every backend runs them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from aimatrix.model.calls import OpCall


class Operands(NamedTuple):
    """What a 2-D convolution reads, float32; bias is None where it has none."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None


def operands(call: OpCall, number: int) -> Operands:
    """The operands of the ``number``-th convolution: its own, the same on every backend."""
    random = np.random.default_rng(number)
    fan = call["in_channels"] // call["groups"]
    weight = random.random((call["out_channels"], fan, *call["kernel_size"]), dtype=np.float32)
    x = random.random((call["batch"], call["in_channels"], *call["input_size"]), dtype=np.float32)
    bias = random.random(call["out_channels"], dtype=np.float32) if call["bias"] else None
    return Operands(x, weight - np.float32(0.5), bias)


def runs(buckets: Sequence[int]) -> list[tuple[int, range]]:
    """The runs of equal buckets, in order, each with the numbers of the calls in it."""
    spans = []
    start = 0
    for bucket, members in groupby(buckets):
        stop = start + len(list(members))
        spans.append((bucket, range(start, stop)))
        start = stop
    return spans
