"""Normalization: batch, layer, group, instance and root mean square; and their gradients."""

from __future__ import annotations

from math import prod

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shape, is_size
from aimatrix.ops.formula import Formula


class Normalization(Family):
    """Kinds: batch_norm, layer_norm, group_norm, instance_norm, rms_norm; each with _backward.

    Attributes: input (shape), parameters (elements of scale, shift and statistics that are read);
    of a backward kind also gradients (elements of the gradients of scale and shift).
    Multiply-adds are not counted: the field counts none for normalizations.
    """

    name = "normalization"
    formulas = (
        Formula(
            output="as the input",
            macs="0",
            read="elements + parameters",
            written="elements",
            parameters="scale, shift, running statistics",
            source="torch.nn.BatchNorm2d, torch.nn.LayerNorm ...: their equations",
        ),
        Formula(
            of="_backward",
            output="as the input",
            macs="0",
            read="2 elements + parameters",
            written="elements + gradients",
            parameters="scale, statistics",
            source="Ioffe and Szegedy 2015, arXiv:1502.03167, section 3",
        ),
    )
    required = {"input": is_shape, "parameters": is_size}
    _backward = {"gradients": is_size}

    def check(self, call: OpCall) -> None:
        """As `Family.check`, with what a backward kind has besides."""
        super().check(call)
        if call.kind.endswith("_backward"):
            self.check_attributes(call, self._backward)

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return tuple(call["input"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        elements = prod(call["input"])
        backward = call.kind.endswith("_backward")
        read = elements * (2 if backward else 1) + call["parameters"]
        written = elements + (call["gradients"] if backward else 0)
        return Cost(
            macs=0,
            bytes_read=read * itemsize,
            bytes_written=written * itemsize,
            parameters=call["parameters"],
            warps=launch.scalar_warps(elements),
        )
