"""Imagined machines: a family of simple models of hardware on which a mix and its stand-in are held
against each other.

No measured time goes into a benchmark. What is to hold on platforms that nobody has measured is
asked of many that nobody has built: rates of arithmetic and bandwidths in several proportions,
cheap and dear launches, little and much parallelism to fill, small and large caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from aimatrix import ops
from aimatrix.analysis.likeness import launches, products
from aimatrix.model.calls import OpCall
from aimatrix.ops.dtypes import bits

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Machine:
    """One imagined machine.

    bandwidth: bytes a second from memory. Weights come from there; activations that fit well into
    a cache of ``cache`` bytes come up to `CACHE_SPEEDUP` times as fast.
    ridge: multiply-adds in the time of a byte (Williams et al. 2009, the roofline's).
    launch: seconds before an operator begins, and before each step of a recurrent one.
    fill: warps at which half the rate is reached.
    side: size of each side of a matrix product at which that side takes half the rate.
    """

    bandwidth: float
    ridge: float
    launch: float
    fill: float
    side: float
    cache: float


CACHE_SPEEDUP = 4.0

#: processors with few lanes and slow memory, and accelerators that want thousands of warps
_SCALES = ((1e10, 2.0, 2**21), (2e10, 8.0, 2**25), (1e12, 500.0, 2**25))
_RIDGES = (2.0, 10.0, 50.0)
_LAUNCHES = (1e-6, 5e-6)
_SIDES = (1.0, 16.0)

MACHINES = tuple(
    Machine(bandwidth, ridge, launch, fill, side, cache)
    for (bandwidth, fill, cache), ridge, launch, side in product(
        _SCALES, _RIDGES, _LAUNCHES, _SIDES
    )
)


def seconds(calls: Sequence[OpCall], machines: Sequence[Machine] = MACHINES) -> Array:
    """Seconds of each call on each machine, of shape (machines, calls).

    The roofline with a launch in front: launch + max(MACs / reached rate, bytes / bandwidth).
    """
    if not calls:
        return np.zeros((len(machines), 0))
    costs = [ops.cost(call) for call in calls]
    macs = np.array([cost.macs or 0 for cost in costs], dtype=float)
    moved = np.array([cost.bytes for cost in costs], dtype=float)
    warps = np.array([max(1, cost.warps or 1) for cost in costs], dtype=float)
    sides = np.array([products(call) for call in calls], dtype=float)
    cold = np.minimum(moved, np.array([_weight_bytes(call) for call in calls], dtype=float))
    starts = np.array([launches(call) for call in calls], dtype=float)
    return _on(_Columns.of(machines), macs, moved - cold, cold, warps, sides, starts)


def _weight_bytes(call: OpCall) -> int:
    operands = ops.operands(call) or ()
    elements = sum(prod(each.shape) for each in operands if each.role == "weight")
    return elements * bits(call.dtype) // 8


@dataclass(frozen=True, slots=True)
class _Columns:
    """Machines as columns, each of shape (machines, 1)."""

    bandwidth: Array
    ridge: Array
    launch: Array
    fill: Array
    side: Array
    cache: Array

    @classmethod
    def of(cls, machines: Sequence[Machine]) -> _Columns:
        """The columns of these machines."""
        rows = np.array([astuple(machine) for machine in machines], dtype=float)
        return cls(*(column[:, None] for column in rows.T))


def _on(
    on: _Columns,
    macs: Array,
    warm: Array,
    cold: Array,
    warps: Array,
    sides: Array,
    starts: Array,
) -> Array:
    share = sides[None] / (sides[None] + on.side[:, :, None])
    # what has no sides, such as a depthwise convolution, loses nothing by them
    reached = (
        np.where((sides == 1).all(axis=1), 1.0, share.prod(axis=2)) * warps / (warps + on.fill)
    )
    cached = on.cache / (on.cache + warm)
    transfer = (cold + warm / (1 + (CACHE_SPEEDUP - 1) * cached)) / on.bandwidth
    result: Array = on.launch * starts + np.maximum(
        macs / (on.bandwidth * on.ridge * reached), transfer
    )
    return result
