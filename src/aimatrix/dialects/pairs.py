"""Pairs of a producer and a consumer as canonical calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from aimatrix import ops
from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall

N = TypeVar("N", int, float)


def translated(
    pairs: Iterable[tuple[RawCall, RawCall, N]], translate: Callable[[RawCall], OpCall]
) -> dict[tuple[OpCall, OpCall], N]:
    """Producer and consumer -> how often, added up. A view does no work, and makes no pair."""
    sums: dict[tuple[OpCall, OpCall], N] = {}
    for raw_producer, raw_consumer, calls in pairs:
        pair = translate(raw_producer), translate(raw_consumer)
        if not any(map(ops.is_view, pair)):
            sums[pair] = sums[pair] + calls if pair in sums else calls
    return sums
