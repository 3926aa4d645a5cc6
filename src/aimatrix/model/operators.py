"""Operators and blocks of them as parts of artefacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt

from aimatrix.model.artefact import Part
from aimatrix.model.block import Block, Sources
from aimatrix.model.calls import OpCall


class OperatorWork(Part):
    """One operator as its family describes it; shapes in elements, batch first."""

    family: str
    kind: str
    attributes: dict[str, Any]
    dtype: str = "float32"
    phase: Literal["forward", "backward", "optimizer"] = "forward"

    @property
    def call(self) -> OpCall:
        """The operator as a call, on whatever device."""
        return OpCall.create(
            self.family, self.kind, self.attributes, dtype=self.dtype, phase=self.phase
        )


class BlockOperator(OperatorWork):
    """An operator of a block, with its sources as `Block` has them."""

    sources: tuple[NonNegativeInt | None, ...]

    @classmethod
    def create(cls, call: OpCall, sources: Sources) -> Self:
        """A call as a part of a block."""
        # as a file gives them back
        attributes: dict[str, Any] = json.loads(call.attributes_json())
        return cls(
            family=call.family,
            kind=call.kind,
            attributes=attributes,
            dtype=call.dtype,
            phase=call.phase,
            sources=sources,
        )


def _in_order(operators: tuple[BlockOperator, ...]) -> tuple[BlockOperator, ...]:
    for number, operator in enumerate(operators):
        if any(source is not None and source >= number for source in operator.sources):
            raise ValueError(f"operator {number} takes what none before it puts out")
    return operators


#: a block as a part of an artefact
BlockOperators = Annotated[
    tuple[BlockOperator, ...], Field(min_length=1), AfterValidator(_in_order)
]


def block_of(operators: Sequence[BlockOperator]) -> Block:
    """The block that an artefact states."""
    return Block(
        tuple(operator.call for operator in operators),
        tuple(tuple(operator.sources) for operator in operators),
    )


def block_operators(block: Block) -> tuple[BlockOperator, ...]:
    """A block as a part of an artefact."""
    pairs = zip(block.calls, block.sources, strict=True)
    return tuple(BlockOperator.create(call, sources) for call, sources in pairs)
