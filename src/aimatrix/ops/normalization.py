"""Normalization: batch, layer, group, instance and root mean square; and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shape, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, weight


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

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """Input, then scale, shift, mean and variance, as far as the kind reads them.

        Of a backward kind: the output's gradient, input, mean and reciprocal deviation, scale.
        Moments stay float32 in less precise runs, and so does the scale beside them.
        """
        shape, width = call["input"], _width(call)
        kind = call.kind.removesuffix("_backward")
        if call.kind.endswith("_backward"):
            moments = _moments(width if kind == "batch_norm" else _rows(call))
            scale = weight(width, dtype="float32")
            return (activation(*shape), activation(*shape), *moments, scale)
        vectors = {"rms_norm": 1, "batch_norm": 4 if _reads_statistics(call) else 2}.get(kind, 2)
        return (activation(*shape), *[weight(width)] * vectors)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(first axis, features that have a scale of their own)."""
        return (call["input"][0], _width(call)) if len(call["input"]) > 1 else ()

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: the first axis."""
        return (True, False)[: len(self.widths(call))]

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them; what is read of parameters grows with the features."""
        shape = list(call["input"])
        shape[0], shape[_axis(call)] = widths
        return self.fitted(call, 0, tuple(shape))

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall:
        """As `Family.fitted`: what is read of parameters grows with the features."""
        if len(shape) != len(call["input"]) or not shape:
            return call  # moments, which follow the input
        axis, old = _axis(call), _width(call)
        more = {"parameters": call["parameters"] * shape[axis] // old}
        if call.kind.endswith("_backward"):
            more["gradients"] = call["gradients"] * shape[axis] // old
        return call.replace(input=shape, **more)

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


def _axis(call: OpCall) -> int:
    """The axis of the features that have a scale each."""
    last = call.kind.removesuffix("_backward") in ("layer_norm", "rms_norm")
    return len(call["input"]) - 1 if last or len(call["input"]) < 2 else 1


def _width(call: OpCall) -> int:
    return int(call["input"][_axis(call)]) if call["input"] else 1


def _rows(call: OpCall) -> int:
    return int(prod(call["input"]) // max(1, _width(call)))


def _reads_statistics(call: OpCall) -> bool:
    return bool(call["parameters"] >= 4 * _width(call))


def _moments(size: int) -> tuple[Operand, Operand]:
    return activation(size, dtype="float32"), activation(size, dtype="float32")
