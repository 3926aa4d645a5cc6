"""Normalization: batch, layer, group and instance."""

from __future__ import annotations

from math import prod

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shape, is_size


class Normalization(Family):
    """Kinds: batch_norm, layer_norm, group_norm, instance_norm, rms_norm.

    Attributes: input (shape), parameters (elements of scale, shift and running statistics).
    Multiply-adds are not counted: the field counts none for normalizations.
    """

    name = "normalization"
    required = {"input": is_shape, "parameters": is_size}

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return tuple(call["input"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        elements = prod(call["input"])
        return Cost(
            macs=0,
            bytes_read=(elements + call["parameters"]) * itemsize,
            bytes_written=elements * itemsize,
            parameters=call["parameters"],
            warps=launch.scalar_warps(elements),
        )
