"""Imagined machines: a family of simple models of hardware on which a mix and its stand-in are held
against each other.

No measured time goes into a benchmark. What is to hold on platforms that nobody has measured is
asked of many that nobody has built: rates of arithmetic and bandwidths in several proportions,
cheap and dear launches, little and much parallelism to fill, small and large caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimatrix import ops
from aimatrix.analysis.likeness import instructions, launches, products
from aimatrix.model.block import Block
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
    fuses: whether a compiler joins what follows in a block to what leads it: without a launch of
    its own, and without a way to memory for what stays inside.
    """

    bandwidth: float
    ridge: float
    launch: float
    fill: float
    side: float
    cache: float
    fuses: bool


CACHE_SPEEDUP = 4.0

#: bandwidth, fill and cache that go together: of processors with few lanes and slow memory, and of
#: accelerators that want thousands of warps
_PROCESSORS = ((1e10, 2.0, 2**21), (2e10, 8.0, 2**25))
_ACCELERATORS = ((1e12, 500.0, 2**25),)
#: launches; on a processor also to join and part threads, and to bring numbers into a layout
_PROCESSOR_LAUNCHES = (5e-6, 4e-5)
_ACCELERATOR_LAUNCHES = (5e-6, 2e-5)
_RIDGES = (2.0, 10.0, 50.0)
_SIDES = (4.0, 48.0)
_FUSES = (False, True)


def _machines(
    scales: Sequence[tuple[float, float, float]], launches: Sequence[float]
) -> tuple[Machine, ...]:
    return tuple(
        Machine(bandwidth, ridge, launch, fill, side, cache, fuses)
        for (bandwidth, fill, cache), ridge, launch, side, fuses in product(
            scales, _RIDGES, launches, _SIDES, _FUSES
        )
    )


PROCESSORS = _machines(_PROCESSORS, _PROCESSOR_LAUNCHES)
MACHINES = (*PROCESSORS, *_machines(_ACCELERATORS, _ACCELERATOR_LAUNCHES))


def sort_of(device: str) -> slice:
    """The machines that are like a device (``cpu``, ``cuda:1`` ...)."""
    first = slice(len(PROCESSORS))
    return first if device == "cpu" else slice(len(PROCESSORS), len(MACHINES))


def times(total: Array, once: Array, sort: slice) -> Array:
    """How many of ``once`` take as long as ``total``: the geometric mean over some machines.

    Both of shape (machines, ...). One number cannot hold on processors and on accelerators, where
    little work takes hardly less time than much: each sort has its own.
    """
    result: Array = np.exp(np.log(total[sort] / once[sort]).mean(axis=0))
    return result


def times_on_each(total: Array, once: Array) -> Array:
    """`times` on each machine's own sort, of shape (machines, ...)."""
    parts = [
        np.broadcast_to(times(total, once, sort), once[sort].shape)
        for sort in (sort_of("cpu"), sort_of("cuda"))
    ]
    return np.concatenate(parts)


def seconds(blocks: Sequence[Block], machines: Sequence[Machine] = MACHINES) -> Array:
    """Seconds of each block on each machine, of shape (machines, blocks).

    The sum over its operators of a roofline with a launch in front: launch + the larger one of
    MACs / reached rate and bytes / bandwidth, where they are far apart; where they are not, the
    root of the sum of their squares: no machine does the one wholly behind the other.
    """
    if not blocks:
        return np.zeros((len(machines), 0))
    columns = _Columns.of(machines)
    operators = _Operators.of(blocks)
    first = np.cumsum([0, *(len(block.calls) for block in blocks[:-1])])
    result: Array = np.add.reduceat(_on(columns, operators), first, axis=1)
    return result


@dataclass(frozen=True, slots=True)
class _Operators:
    """What each operator of some blocks asks of a machine, each of shape (operators,).

    cold: bytes of weights. warm: of activations that come from or go outside of the block. inner:
    of those that stay inside. again: of weights that are read again, as at each step of a recurrent
    layer; resident: how many of these there are. starts: launches. follows: whether a compiler
    joins it to another one of its block. sides: of shape (operators, 3).
    """

    macs: Array
    cold: Array
    warm: Array
    inner: Array
    again: Array
    resident: Array
    warps: Array
    starts: Array
    follows: Array
    sides: Array

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> _Operators:
        """Those of ``blocks``, one block's after the other's."""
        rows = [row for block in blocks for row in _rows(block)]
        names = [field.name for field in fields(cls)]
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return cls(**{name: np.array(column, dtype=float) for name, column in columns})


def _rows(block: Block) -> Iterator[tuple[Any, ...]]:
    """For each operator of a block, what `_Operators` has of it, in its order."""
    joined = _joined(block)
    kept = _kept_inside(block, joined)
    for number, (call, sources) in enumerate(zip(block.calls, block.sources, strict=True)):
        macs, moved, written, cold, again, resident, warps, starts, sides = _asked(call)
        follows = number in joined
        inner = _taken_bytes(call, sources) if follows else 0
        inner += written if number in kept else 0
        warm = max(0, moved - cold - inner)
        inner = min(inner, moved)
        yield (macs, cold, warm, inner, again, resident, warps, starts, follows, sides)


def _joined(block: Block) -> frozenset[int]:
    """The operators that a compiler joins to what they follow: those that multiply no matrices."""
    pairs = enumerate(zip(block.calls, block.sources, strict=True))
    return frozenset(
        number
        for number, (call, sources) in pairs
        if not _multiplies(call) and any(source is not None for source in sources)
    )


def _kept_inside(block: Block, joined: frozenset[int]) -> frozenset[int]:
    """The operators whose output only joined ones take, so that it need not be written."""
    takers = [
        (source, number)
        for number, sources in enumerate(block.sources)
        for source in sources
        if source is not None
    ]
    others = {source for source, number in takers if number not in joined}
    return frozenset(source for source, _ in takers) - others


@cache
def _multiplies(call: OpCall) -> bool:
    return bool(ops.cost(call).macs)


@cache
def _asked(call: OpCall) -> tuple[Any, ...]:
    cost = ops.cost(call)
    cold = min(cost.bytes, _weight_bytes(call))
    warps = max(1, cost.warps or 1)
    starts = launches(call)
    steps = call["steps"] if call.family == "recurrent" and starts > 1 else 1
    again, resident = cold * (steps - 1), cold * steps / max(1, starts)
    moved = (cost.bytes, cost.bytes_written, cold, again, resident)
    return ((cost.macs or 0) + instructions(call), *moved, warps, starts, products(call))


def _taken_bytes(call: OpCall, sources: Sequence[int | None]) -> int:
    """Bytes that the call reads of what others of its block put out."""
    operands = zip(ops.operands(call) or (), sources, strict=False)
    elements = sum(prod(operand.shape) for operand, source in operands if source is not None)
    return elements * bits(call.dtype) // 8


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
    fuses: Array

    @classmethod
    def of(cls, machines: Sequence[Machine]) -> _Columns:
        """The columns of these machines."""
        rows = np.array([astuple(machine) for machine in machines], dtype=float)
        return cls(*(column[:, None] for column in rows.T))


def _on(on: _Columns, asked: _Operators) -> Array:
    sides = asked.sides
    share = sides[None] / (sides[None] + on.side[:, :, None])
    # what has no sides, such as a depthwise convolution, loses nothing by them
    reached = np.where((sides == 1).all(axis=1), 1.0, share.prod(axis=2))
    reached = reached * asked.warps / (asked.warps + on.fill)
    warm = asked.warm + np.where(on.fuses, 0.0, asked.inner)
    cached = on.cache / (on.cache + warm)
    kept = on.cache / (on.cache + asked.resident)
    moved = (
        asked.cold
        + warm / (1 + (CACHE_SPEEDUP - 1) * cached)
        + asked.again / (1 + (CACHE_SPEEDUP - 1) * kept)
    )
    transfer = moved / on.bandwidth
    launch = on.launch * asked.starts * (1 - on.fuses * asked.follows)
    result: Array = launch + np.hypot(asked.macs / (on.bandwidth * on.ridge * reached), transfer)
    return result
