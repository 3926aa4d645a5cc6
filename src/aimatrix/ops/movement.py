"""Data movement: concatenation, padding, copies, and views, which move nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shapes
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation


class Movement(Family):
    """Kinds: cat, stack, pad, copy, fill, view.

    Attributes: inputs (shapes); dim of cat and stack; pads of pad: whole numbers, last axis
    first, two an axis, as ``torch.nn.functional.pad`` takes them. A view costs nothing; a fill
    reads nothing.
    """

    name = "movement"
    formulas = (
        Formula(
            output="joined, padded, or as the input",
            macs="0",
            read="inputs; nothing of fill and view",
            written="output; nothing of view",
            source="torch.cat, torch.nn.functional.pad, Tensor Views",
        ),
    )
    required = {"inputs": is_shapes}

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that there is a dim to join along, or pads that fit."""
        super().check(call)
        if not call["inputs"]:
            raise InputError(f"a {call.kind} has no inputs")
        attributes = dict(call.attributes)
        if call.kind in ("cat", "stack") and not isinstance(attributes.get("dim"), int):
            raise InputError(f"a {call.kind} lacks its attribute dim")
        if call.kind == "pad" and not _pads_fit(attributes.get("pads"), call["inputs"][0]):
            raise InputError("a pad lacks pads that fit its input")

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """What is read; nothing of a fill."""
        return () if call.kind == "fill" else tuple(activation(*each) for each in call["inputs"])

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """The longest axis along which nothing is joined or padded."""
        return tuple(call["inputs"][0][axis] for axis in _longest(call))

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them, in all inputs."""
        inputs = call["inputs"]
        for axis, width in zip(_longest(call), widths, strict=True):
            inputs = tuple((*shape[:axis], width, *shape[axis + 1 :]) for shape in inputs)
        return call.replace(inputs=inputs)

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """As `Family.fitted`; what is joined keeps its proportions, and is alike in other axes."""
        old = call["inputs"][position]
        joined = {call["dim"] % max(1, len(old))} if call.kind == "cat" else set()

        def changed(axis: int, size: int, before: int, new: int) -> int:
            if axis in joined:
                return max(1, size * new // before) if before else size
            return new if size == before else size

        inputs = [
            tuple(
                changed(axis, *sizes)
                for axis, sizes in enumerate(zip(each, old, shape, strict=True))
            )
            if len(each) == len(old)
            else each
            for each in call["inputs"]
        ]
        inputs[position] = shape
        return call.replace(inputs=tuple(inputs))

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        first = call["inputs"][0]
        if call.kind == "view":
            return None
        if call.kind == "cat":
            return _concatenated(call["inputs"], call["dim"])
        if call.kind == "stack":
            return _stacked(call["inputs"], call["dim"])
        if call.kind == "pad":
            return _padded(first, call["pads"])
        return tuple(first)

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        shape = self._output_shape(call)
        if shape is None:
            return Cost(macs=0, bytes_read=0, bytes_written=0, warps=0)
        outputs = prod(shape)
        inputs = 0 if call.kind == "fill" else sum(prod(shape) for shape in call["inputs"])
        return Cost(
            macs=0,
            bytes_read=inputs * itemsize,
            bytes_written=outputs * itemsize,
            warps=launch.vector_warps(outputs),
        )


def _concatenated(shapes: tuple[tuple[int, ...], ...], dim: int) -> tuple[int, ...]:
    # torch lets empty vectors of one axis through in a concatenation, and any axis among them
    whole = [shape for shape in shapes if shape != (0,)]
    if not whole:
        return (0,)
    first = whole[0]
    if not -len(first) <= dim < len(first):
        raise InputError(f"shapes {shapes} have no axis {dim} to be joined along")
    axis = dim % len(first)
    if len({(len(shape), *shape[:axis], *shape[axis + 1 :]) for shape in whole}) > 1:
        raise InputError(f"shapes {shapes} cannot be joined along axis {dim}")
    total = sum(shape[axis] for shape in whole)
    return (*first[:axis], total, *first[axis + 1 :])


def _stacked(shapes: tuple[tuple[int, ...], ...], dim: int) -> tuple[int, ...]:
    first, rank = shapes[0], len(shapes[0]) + 1
    if len(set(shapes)) > 1 or not -rank <= dim < rank:
        raise InputError(f"shapes {shapes} cannot be stacked along axis {dim}")
    axis = dim % rank
    return (*first[:axis], len(shapes), *first[axis:])


def _pads_fit(pads: object, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(pads, tuple)
        and len(pads) % 2 == 0
        and len(pads) <= 2 * len(shape)
        and all(isinstance(pad, int) for pad in pads)
        and min(_padded(shape, pads), default=0) >= 0
    )


def _padded(shape: tuple[int, ...], pads: tuple[int, ...]) -> tuple[int, ...]:
    output = list(shape)
    for index in range(len(pads) // 2):
        output[-1 - index] += pads[2 * index] + pads[2 * index + 1]
    return tuple(output)


def _longest(call: OpCall) -> list[int]:
    """The longest axis that may change without another one; empty where there is none."""
    first = call["inputs"][0]
    taken = set()
    if call.kind == "cat":
        taken = {call["dim"] % max(1, len(first))}
    if call.kind == "pad":
        taken = {len(first) - 1 - number for number in range(len(call["pads"]) // 2)}
    free = [axis for axis in range(len(first)) if axis not in taken]
    if not free or any(len(shape) != len(first) for shape in call["inputs"]):
        return []
    return [max(free, key=lambda axis: first[axis])]
