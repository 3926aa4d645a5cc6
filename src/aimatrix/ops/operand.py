"""What a call reads, one tensor after another: what a backend has to make before it can run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["activation", "weight", "index"]


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that a call reads, by its shape in elements.

    role: an activation comes from an earlier operator or is an input; a weight stays from call to
    call; an index holds whole numbers from 0 to below ``bound``. dtype: where it is not the call's.
    """

    role: Role
    shape: tuple[int, ...]
    dtype: str | None = None
    bound: int = 0


def activation(*shape: int, dtype: str | None = None) -> Operand:
    """An activation of that shape."""
    return Operand("activation", shape, dtype)


def weight(*shape: int, dtype: str | None = None) -> Operand:
    """A weight of that shape."""
    return Operand("weight", shape, dtype)


def index(count: int, bound: int) -> Operand:
    """``count`` whole numbers from 0 to below ``bound``."""
    return Operand("index", (count,), "int64", max(1, bound))
