"""Elementwise operators: activations, arithmetic, comparisons; with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shapes
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation


class Elementwise(Family):
    """Kinds: the operator's own name (relu, add, mul ...). No multiply-adds.

    Attributes: inputs, the shapes of the operands that are tensors; outputs, the shapes of what
    comes out where that is not one tensor of their common shape (a fused step over many
    tensors of an optimizer, both halves of a gate).
    """

    name = "elementwise"
    formulas = (
        Formula(
            output="the inputs, broadcast",
            macs="0",
            read="all inputs",
            written="output",
            source="numpy.org/doc, Broadcasting",
        ),
    )
    required = {"inputs": is_shapes}

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that the operands' shapes broadcast."""
        super().check(call)
        if "outputs" in dict(call.attributes):
            self.check_attributes(call, {"outputs": is_shapes})
        else:
            broadcast(call["inputs"])

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """All operands."""
        return tuple(activation(*shape) for shape in call["inputs"])

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """The longest axis of the output; none where the outputs are stated."""
        return tuple(broadcast(call["inputs"])[axis] for axis in _longest(call))

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them, in every operand that has the axis."""
        inputs = call["inputs"]
        for axis, width in zip(_longest(call), widths, strict=True):
            size = broadcast(inputs)[axis]
            inputs = tuple(resized(shape, axis, size, width) for shape in inputs)
        return call.replace(inputs=inputs)

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """As `Family.fitted`: an operand that shares an axis changes with it."""
        if "outputs" in dict(call.attributes):
            return None
        old = call["inputs"][position]
        inputs = list(call["inputs"])
        for axis in range(-len(old), 0):
            if old[axis] != 1:
                inputs = [resized(each, axis, old[axis], shape[axis]) for each in inputs]
        inputs[position] = shape
        return call.replace(inputs=tuple(inputs))

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        outputs = _outputs(call)
        return outputs[0] if len(outputs) == 1 else None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        outputs = sum(prod(shape) for shape in _outputs(call))
        return Cost(
            macs=0,
            bytes_read=sum(prod(shape) for shape in call["inputs"]) * itemsize,
            bytes_written=outputs * itemsize,
            warps=launch.vector_warps(outputs),
        )


def _outputs(call: OpCall) -> tuple[tuple[int, ...], ...]:
    outputs = dict(call.attributes).get("outputs")
    return outputs if outputs is not None else (broadcast(call["inputs"]),)  # type: ignore


def broadcast(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The common shape of ``shapes`` (NumPy's rule). Raises InputError when there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    output = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            raise InputError(f"shapes {shapes} of an elementwise operator do not broadcast")
        output.append(sizes.pop() if sizes else 1)
    return tuple(output)


def _longest(call: OpCall) -> list[int]:
    """The longest axis of the output, counted from behind; empty where it has none, or several."""
    if "outputs" in dict(call.attributes):
        return []
    output = broadcast(call["inputs"])
    return [max(range(-len(output), 0), key=lambda axis: output[axis])] if output else []


def resized(shape: tuple[int, ...], axis: int, size: int, width: int) -> tuple[int, ...]:
    """``shape`` with ``width`` at ``axis``, counted from behind, if it has ``size`` there."""
    if len(shape) < -axis or shape[axis] != size:
        return shape
    place = axis % len(shape)
    return (*shape[:place], width, *shape[place + 1 :])
