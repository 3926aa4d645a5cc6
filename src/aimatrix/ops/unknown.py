"""Operators that no family knows: counted with their name, never as zero."""

from __future__ import annotations

from math import prod

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.family import Family, is_shapes
from aimatrix.ops.formula import Formula


class Unknown(Family):
    """Kind: the framework's own name. Attributes: inputs, the shapes of the tensors it took.

    Multiply-adds and warps are not known (None); the bytes of the inputs are a lower bound.
    """

    name = "unknown"
    formulas = (
        Formula(
            output="not known",
            macs="not known",
            read="inputs (a lower bound)",
            written="0 (a lower bound)",
            parameters="not known",
            source="none",
        ),
    )
    required = {"inputs": is_shapes}

    def _output_shape(self, call: OpCall) -> None:
        return None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        read = sum(prod(shape) for shape in call["inputs"]) * itemsize
        return Cost(macs=None, bytes_read=read, bytes_written=0)
