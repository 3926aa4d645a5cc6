"""Which shapes a tensor can have: what a file states may be any number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

#: more elements than any memory has room for; a log holds such numbers exactly
_MOST_ELEMENTS = 2**53


def is_possible(shape: Sequence[int]) -> bool:
    """Whether a tensor can have these sizes, none of them negative or beyond all memory."""
    return all(0 <= size <= _MOST_ELEMENTS for size in shape) and prod(shape) <= _MOST_ELEMENTS
