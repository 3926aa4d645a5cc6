"""Blocks: a few operators, some of which take what others of them put out."""

from __future__ import annotations

from dataclasses import dataclass

from aimatrix.model.calls import OpCall

#: for each tensor that an operator takes, the number of the operator that puts it out
Sources = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Operators in the order in which they run.

    sources: of each operator, for each tensor that it takes (`aimatrix.ops.operands`; one for an
    operator that none lays out), the number of the earlier operator of the block that puts it out;
    None where the tensor is its own: a weight, an index, or what comes from outside of the block.
    What a source puts out has at least as many elements as the operand: it is taken in the
    operand's shape, or its first elements are.
    """

    calls: tuple[OpCall, ...]
    sources: tuple[Sources, ...]
