"""The signatures of all operators in a trace, also of those that it tells only in part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.kineto.arguments import Arguments, Signature
from aimatrix.importers.kineto.events import Inputs, Range
from aimatrix.importers.kineto.gradients import (
    FUSED,
    Tensors,
    accumulated_before_steps,
    lists_of_step,
)
from aimatrix.importers.kineto.recovery import Given, Step, recovered
from aimatrix.importers.overloads import NO_TENSOR

#: range -> its signature, where it is an operator that can be read
Signatures = dict[Range, Signature]


def read_signatures(ranges: Sequence[Range], arguments: Arguments) -> Signatures:
    """The signatures of the operators among all ranges of a trace, which are parents first."""
    steps = _Steps(ranges, arguments)
    signatures: Signatures = {}
    dtypes = _DtypesByShape(ranges)
    known: dict[tuple[str, Inputs, str], Signature | None] = {}
    for found in ranges:
        if not found.is_operator or found.inputs is None:
            continue
        dtype = dtypes.of_lists(found.inputs)
        dtypes.see(found.inputs)
        key = (found.name, found.inputs, dtype)
        given = steps.given(found)
        if given:
            signature = arguments.of(*key, given)
        else:
            if key not in known:
                known[key] = arguments.of(*key, {})
            signature = known[key]
        if signature is not None:
            signatures[found] = signature
    return signatures


class _Steps:
    """What operators with an untold argument called, and what that tells."""

    def __init__(self, ranges: Sequence[Range], arguments: Arguments) -> None:
        self._arguments = arguments
        self._children: dict[Range, list[Range]] = {}
        self._accumulated: dict[Range, Tensors] | None = None
        self._ranges = ranges
        for found in ranges:
            if found.parent is not None and found.is_operator:
                self._children.setdefault(found.parent, []).append(found)

    def given(self, found: Range) -> Given:
        if found.inputs is None or not _is_told_in_part(found):
            return {}
        if found.name.startswith(FUSED):
            return self._lists_of_step(found, found.inputs)
        return recovered(found.name, found.inputs, self._steps_of(found, _DEEPEST))

    def _lists_of_step(self, found: Range, inputs: Inputs) -> Given:
        if inputs.has_lists:
            return {}  # not too long for the trace
        if self._accumulated is None:
            self._accumulated = accumulated_before_steps(self._ranges)
        # on a CPU, the number of steps of each parameter is read
        read = sum(child.name == "aten::item" for child in self._children.get(found, ()))
        names = self._arguments.names(found.name, inputs)
        return lists_of_step(names, inputs, self._accumulated.get(found, ()), read or None)

    def _steps_of(self, found: Range, depth: int) -> tuple[Step, ...]:
        children = self._children.get(found, ()) if depth else ()
        return tuple(self._step(child, depth - 1) for child in children if child.inputs is not None)

    def _step(self, found: Range, depth: int) -> Step:
        inputs = found.inputs or Inputs((), (), ())
        steps = self._steps_of(found, depth)
        given = recovered(found.name, inputs, steps) if _is_told_in_part(found) else {}
        signature = self._arguments.of(found.name, inputs, "float32", given)
        return Step(found.name, inputs, dict(signature[1]) if signature else {}, steps)


#: how far in the operators of one operator are looked at
_DEEPEST = 4
_UNTOLD = ("conv", "_convolution_mode", "einsum", "index", "_foreach_", "_fused_")


def _is_told_in_part(found: Range) -> bool:
    """Whether it is one of the operators of which something can be recovered, and is missing."""
    if found.inputs is None or not found.name.removeprefix("aten::").startswith(_UNTOLD):
        return False
    columns = zip(found.inputs.kinds, found.inputs.dims, found.inputs.texts, strict=True)
    return any(
        (kind == "" and not text) or (kind == "TensorList" and not dims)
        for kind, dims, text in columns
    )


class _DtypesByShape:
    """The dtype of tensors in a list, taken for that of the last tensor of such a shape.

    Of equal shapes of one call the first one counts: what it writes to comes first.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._frequent = _most_frequent_dtype(ranges)
        self._last: dict[Any, str] = {}

    def see(self, inputs: Inputs) -> None:
        for kind, dims in zip(reversed(inputs.kinds), reversed(inputs.dims), strict=True):
            if kind not in NO_TENSOR and len(self._last) < _MOST_SHAPES:
                self._last[dims] = torch_dtype(kind)

    def of_lists(self, inputs: Inputs) -> str:
        for kind, dims in zip(inputs.kinds, inputs.dims, strict=True):
            for shape in dims if kind == "TensorList" else ():
                if shape in self._last:
                    return self._last[shape]
        return self._frequent


_MOST_SHAPES = 1_000_000


def _most_frequent_dtype(ranges: Iterable[Range]) -> str:
    kinds = Counter(
        kind
        for found in ranges
        if found.inputs is not None
        for kind in found.inputs.kinds
        if kind not in NO_TENSOR
    )
    return torch_dtype(kinds.most_common(1)[0][0]) if kinds else "float32"
