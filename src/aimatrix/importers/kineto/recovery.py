"""What a trace leaves out of a call, as far as the operators that it called tell.

A trace has no text (``padding="same"``, the equation of an einsum), no tensors that index others,
and no tensors of a list of more than 30.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.kineto.events import Inputs

#: the key of lists of tensors that are too long for a trace, in their order
LISTS = ""
#: arguments by name
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """An operator called by another: its inputs, arguments as far as known, and own steps."""

    name: str
    inputs: Inputs
    arguments: Given
    steps: tuple[Step, ...] = ()


def recovered(name: str, inputs: Inputs, steps: Sequence[Step]) -> Given:
    """Arguments of a call that its steps tell; none where they do not."""
    base = name.removeprefix("aten::").rstrip("_")
    try:
        if base.startswith("_foreach_"):
            return {LISTS: _lists(base.removeprefix("_foreach_"), steps)}
        find = _FINDERS.get(base)
        return find(inputs, steps) if find else {}
    except (IndexError, KeyError, StopIteration, TypeError, ValueError):
        return {}


def _padding(inputs: Inputs, steps: Sequence[Step]) -> Given:
    """Valid where the convolution further in pads nothing, and neither does what is before it."""
    inner = next(step for step in steps if "padding" in step.arguments)
    padding = inner.arguments["padding"]
    if not isinstance(padding, str):
        is_valid = not any(padding) and inner.inputs.dims[0] == inputs.dims[0]
        padding = "valid" if is_valid else "same"
    return {"padding": padding}


def _equation(inputs: Inputs, steps: Sequence[Step]) -> Given:
    """An einsum permutes all operands to the same order of labels, those of the output first.

    Labels are told by their places in that order; which axes an operand lacks, it has first
    added behind its own.
    """
    operands = inputs.dims[1]
    permutations = [_numbers(step) for step in steps if step.name == "aten::permute"]
    if any(step.name == "aten::diagonal" for step in steps):
        raise ValueError("a label comes twice in an operand")
    terms = []
    for dims, order in zip(operands, permutations, strict=False):
        places = {axis: place for place, axis in enumerate(order)}
        terms.append("".join(string.ascii_letters[places[axis]] for axis in range(len(dims))))
    if len(terms) != len(operands):
        raise ValueError("not all operands were permuted")
    total = len(permutations[0])
    return {"equation": f"{','.join(terms)}->{string.ascii_letters[: _kept(steps[-1], total)]}"}


def _kept(last: Step, total: int) -> int:
    """How many axes the output of an einsum has, by its last step."""
    if last.name in ("aten::view", "aten::reshape"):
        return len(_numbers(last))
    if last.name == "aten::sum":
        return total - len(_numbers(last))
    if last.name in ("aten::mul", "aten::permute"):
        return total
    raise ValueError("an einsum that ends otherwise")


def _numbers(step: Step) -> list[int]:
    """The first list of numbers that an operator took."""
    text = next(text for text in step.inputs.texts if text.startswith("["))
    return [int(number) for number in text.strip("[]").split(",") if number.strip()]


def _indices(inputs: Inputs, steps: Sequence[Step]) -> Given:
    """Indexing reshapes all index tensors to stand beside each other, before the axes behind."""
    if len(steps) == 1 and steps[0].name == "aten::_index_put_impl_":
        steps = steps[0].steps
    masks = [step for step in steps if step.name == "aten::nonzero"]
    if masks:
        shapes = [(_first(mask), "bool") for mask in masks]
        return {"indices": tuple(TensorArg(*each) for each in shapes)}
    reshaped = [step for step in steps if step.name == "aten::reshape"]
    widened = [step for step in steps if step.name == "aten::expand"]
    dtype = torch_dtype(reshaped[0].inputs.kinds[0])
    common, target = _first(reshaped[0]), _numbers(reshaped[0])
    shapes_of = [_first(step) for step in widened]
    shapes_of += [common] * (len(reshaped) - len(widened))
    tensors = [TensorArg(shape, dtype) for shape in shapes_of]
    moved = next((_numbers(step) for step in steps if step.name == "aten::permute"), None)
    if moved is None:
        result = next(_numbers(step) for step in steps if step.name == "aten::as_strided")
        before = _axes_before(common, target, inputs.dims[0], result, len(tensors))
        return {"indices": (*[None] * before, *tensors)}
    places = moved[: len(tensors)]
    told: list[TensorArg | None] = [None] * (max(places) + 1)
    for place, tensor in zip(places, tensors, strict=True):
        told[place] = tensor
    return {"indices": tuple(told)}


def _axes_before(
    common: tuple[int, ...],
    target: Sequence[int],
    shape: tuple[int, ...],
    result: Sequence[int],
    tensors: int,
) -> int:
    """How many axes stand before those of the indices: each is a 1 in the shape they get."""
    for before in range(len(target) - len(common) + 1):
        chosen = (*shape[:before], *common, *shape[before + tensors :])
        if tuple(target[before : before + len(common)]) == common and chosen == tuple(result):
            return before
    raise ValueError("an index that is reshaped otherwise")


def _first(step: Step) -> tuple[int, ...]:
    return tuple(step.inputs.dims[0])


def _lists(base: str, steps: Sequence[Step]) -> list[tuple[TensorArg, ...]]:
    """The lists of a foreach operator that goes through its tensors one by one."""
    single = [step for step in steps if step.name in (f"aten::{base}", f"aten::{base}_")]
    if not single or len(single) != len(steps):
        raise ValueError("not one step for each tensor")
    columns = [_tensors_of(step.inputs) for step in single]
    return [tuple(column) for column in zip(*columns, strict=True)]


def _tensors_of(inputs: Inputs) -> list[TensorArg]:
    return [
        TensorArg(tuple(dims), torch_dtype(kind))
        for kind, dims in zip(inputs.kinds, inputs.dims, strict=True)
        if kind not in ("", "Scalar", "ScalarList", "TensorList", "GenericList")
    ]


_FINDERS: dict[str, Callable[[Inputs, Sequence[Step]], Given]] = {
    "conv1d": _padding,
    "conv2d": _padding,
    "conv3d": _padding,
    "_convolution_mode": _padding,
    "einsum": _equation,
    "index": _indices,
    "index_put": _indices,
}
