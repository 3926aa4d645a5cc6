"""Reductions, softmax and running sums as ONNX spells them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aimatrix.dialects.operands import outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _reduction(kind: str) -> Rule:
    """Over the axes that an attribute or an input tells; else over those that the output lacks."""
    return Rule("reduction", _over_axes(kind), ("axes",))


def _over_axes(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        taken = shape(arguments, 0)
        dims, keepdim = _axes(arguments.get("axes")), arguments.get("keepdims", 1) != 0
        if not dims and taken and outputs(arguments) == [taken]:
            # over no axis: as over one behind, of one element
            return kind, {"input": (*taken, 1), "dims": (-1,), "keepdim": False}
        if not dims and "axes" not in arguments:
            given = outputs(arguments)[0]
            dims = _became_one(taken, given) if keepdim else _left_out(taken, given)
        return kind, {"input": taken, "dims": dims, "keepdim": keepdim}

    return translation


def _became_one(taken: Shape, given: Shape) -> tuple[int, ...]:
    """The axes that a reduction which kept them went over; none if it was over all."""
    pairs = enumerate(zip(taken, given, strict=True))
    dims = tuple(axis for axis, (before, after) in pairs if before != after)
    return () if all(size == 1 for size in given) else dims


def _left_out(taken: Shape, given: Shape) -> tuple[int, ...]:
    """The axes that an output lacks; where more than one choice fits, they are alike."""
    dims, left = [], list(given)
    for axis, size in enumerate(taken):
        if left and left[0] == size:
            left.pop(0)
        else:
            dims.append(axis)
    if left:
        raise ValueError(f"a reduction of {taken} gives no {given}")
    return tuple(dims)


def _along_axis(kind: str, default: int) -> Callable[[str, Arguments], Translation]:
    """Along one axis, which an operator that keeps its shape may leave untold."""

    def translation(_: str, arguments: Arguments) -> Translation:
        dims = _axes(arguments.get("axis", default))
        keepdim = kind.startswith("arg") and arguments.get("keepdims", 1) != 0
        return kind, {"input": shape(arguments, 0), "dims": dims, "keepdim": keepdim}

    return translation


def _axes(given: Any) -> tuple[int, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, (tuple, list)) else (given,)


_SOFTMAX = Rule("reduction", _along_axis("softmax", -1))

RULES: dict[str, Rule] = {
    **same(_reduction("sum"), "ReduceSum com.microsoft::ReduceSumInteger"),
    **same(_reduction("mean"), "ReduceMean com.microsoft::QLinearReduceMean"),
    "ReduceMax": _reduction("amax"),
    "ReduceMin": _reduction("amin"),
    "ReduceProd": _reduction("prod"),
    **same(_reduction("norm"), "ReduceL1 ReduceL2"),
    "ReduceLogSum": _reduction("logsum"),
    "ReduceLogSumExp": _reduction("logsumexp"),
    "ReduceSumSquare": _reduction("sum_square"),
    "ArgMax": Rule("reduction", _along_axis("argmax", 0)),
    "ArgMin": Rule("reduction", _along_axis("argmin", 0)),
    **same(_SOFTMAX, "Softmax com.microsoft::QLinearSoftmax"),
    "LogSoftmax": Rule("reduction", _along_axis("log_softmax", -1)),
    "CumSum": Rule("reduction", _along_axis("cumsum", -1), ("axis",)),
    "CumProd": Rule("reduction", _along_axis("cumprod", -1), ("axis",)),
}
