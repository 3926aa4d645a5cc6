"""Reductions and what is built on them: sum, mean, maximum, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.dtypes import INDEX_BYTES
from aimatrix.ops.family import Family, is_flag, is_shape
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation

#: kinds whose output has the shape of their input
SHAPE_KEEPING = frozenset(
    {"softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"}
)
#: kinds that tell besides their values where they found them
INDEXED = frozenset({"max", "min", "median", "mode", "cummax", "cummin"})
#: kinds with two outputs of the same shape
PAIRED = frozenset({"var_mean", "std_mean", "aminmax"})


class Reduction(Family):
    """Kinds: sum, mean, amax ..., and those that keep their shape: softmax, cumsum ...

    Attributes: input (shape), dims (axes, none for all), keepdim. No multiply-adds.
    """

    name = "reduction"
    formulas = (
        Formula(
            output="the input without its dims (1 each with keepdim)",
            macs="0",
            read="input",
            written=(
                "output; two of var_mean, std_mean, aminmax; with indices of 8 bytes of "
                "max, min, median, mode along an axis"
            ),
            source="torch.sum and its like, argument keepdim",
        ),
    )
    required = {"input": is_shape, "keepdim": is_flag}

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that dims are axes of the input."""
        super().check(call)
        rank = len(call["input"])
        dims = dict(call.attributes).get("dims")
        if not isinstance(dims, tuple) or any(
            not isinstance(dim, int) or not -max(rank, 1) <= dim < max(rank, 1) for dim in dims
        ):
            raise InputError(f"a {call.kind} has dims that are no axes of its input: {dims!r}")

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """The input."""
        return (activation(*call["input"]),)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(the longest axis that stays, the longest that is reduced), as far as there are."""
        return tuple(call["input"][axis] for axis in _longest(call))

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them."""
        shape = list(call["input"])
        for axis, width in zip(_longest(call), widths, strict=True):
            shape[axis] = width
        return call.replace(input=tuple(shape))

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """As `Family.fitted`."""
        return call.replace(input=shape)

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        shape, rank = call["input"], len(call["input"])
        if call.kind in SHAPE_KEEPING:
            return tuple(shape)
        axes = {dim % rank for dim in call["dims"]} if rank else set()
        axes = axes or set(range(rank))
        if call["keepdim"]:
            return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        return tuple(size for axis, size in enumerate(shape) if axis not in axes)

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        outputs = prod(self._output_shape(call))
        size = itemsize * (2 if call.kind in PAIRED else 1)
        if call.kind in INDEXED and call["dims"]:
            size += INDEX_BYTES
        return Cost(
            macs=0,
            bytes_read=prod(call["input"]) * itemsize,
            bytes_written=outputs * size,
            warps=launch.scalar_warps(outputs),
        )


def _longest(call: OpCall) -> list[int]:
    shape = call["input"]
    reduced = {dim % len(shape) for dim in call["dims"]} if shape else set()
    reduced = reduced or set(range(len(shape)))
    stays = [axis for axis in range(len(shape)) if axis not in reduced]
    return [max(axes, key=lambda axis: shape[axis]) for axes in (stays, sorted(reduced)) if axes]
