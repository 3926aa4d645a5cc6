"""What an operator costs, in words: the line of a family in docs/operators.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Formula:
    """Formulas of a family's costs, as its code computes them, and where they come from.

    of: the kinds that it holds for, where a family has several formulas. Sizes are in elements,
    with the family's attributes by name and the letters that docs/operators.md gives; bytes
    without their factor ``item``, the bytes of an element, where all of them have it.
    """

    output: str
    macs: str
    read: str
    written: str
    source: str
    parameters: str = "0"
    of: str = ""
