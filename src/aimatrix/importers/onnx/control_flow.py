"""If, Loop and Scan: what they execute where the model's constants and shapes tell it.

Where they do not, such a node is one step that nothing is known of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from onnx import GraphProto, NodeProto, TypeProto

from aimatrix.importers.onnx.steps import Step
from aimatrix.importers.onnx.values import Value, of_array, of_shape, of_type

if TYPE_CHECKING:
    from aimatrix.importers.onnx.execution import Execution, Frame

#: rounds of a loop that are followed one by one, where each may be of other shapes
_MOST_ROUNDS = 256

_Inputs = Sequence[Value | None]


def _if(execution: Execution, node: NodeProto, inputs: _Inputs, frame: Frame) -> list[Value]:
    branches = [_graph(node, "else_branch"), _graph(node, "then_branch")]
    condition = _truth(inputs[0] if inputs else None)
    if condition is not None:
        return _fitted(execution.graph(branches[condition], [], frame), node)
    before = len(execution.steps)
    outcomes = [execution.graph(branch, [], frame) for branch in branches]
    del execution.steps[before:]
    return _opaque(
        execution, node, inputs, frame, [_common(pair) for pair in zip(*outcomes, strict=False)]
    )


def _loop(execution: Execution, node: NodeProto, inputs: _Inputs, frame: Frame) -> list[Value]:
    before = len(execution.steps)
    loop = _Loop(execution, node, inputs, frame)
    outputs = loop.repeated()
    if outputs is None:
        del execution.steps[before:]
        outputs = loop.unrolled()
    if outputs is None:
        del execution.steps[before:]
        return _opaque(execution, node, inputs, frame, [])
    return _fitted(outputs, node)


class _Loop:
    """A Loop node: its number of rounds where that is known, and its body."""

    def __init__(
        self, execution: Execution, node: NodeProto, inputs: _Inputs, frame: Frame
    ) -> None:
        given = [*inputs, None, None][: max(2, len(inputs))]
        self._execution, self._frame = execution, frame
        self._body = _graph(node, "body")
        self._carried = [value or of_type(TypeProto()) for value in given[2:]]
        self._rounds = _number(given[0])
        self._is_bounded = given[0] is not None
        self._goes_on = True if given[1] is None else _truth(given[1])

    def repeated(self) -> list[Value] | None:
        """The outputs where all rounds are alike; None where they are not, or not known."""
        if self._rounds is None or self._rounds < 1 or not self._goes_on:
            return None
        condition = of_shape((), "bool")
        carried = [_renewed(value) for value in self._carried]
        result = self._round(of_shape((), "int64"), condition, carried, self._rounds)
        goes_on, after, scanned = result[0], *self._split(result)
        if goes_on is not condition and not _truth(goes_on):
            return None
        if any(_differ(old, new) for old, new in zip(carried, after, strict=True)):
            return None
        return [
            *map(_renewed, after),
            *(_stacked(value, self._rounds) for value in scanned),
        ]

    def unrolled(self) -> list[Value] | None:
        """The outputs, round by round; None where their number is not known, or is large."""
        carried, scanned = self._carried, list[list[Value]]()
        goes_on, rounds = self._goes_on, 0
        while goes_on and (self._rounds is None or rounds < self._rounds):
            if rounds == _MOST_ROUNDS or (self._is_bounded and self._rounds is None):
                return None
            index = of_array(np.array(rounds, np.int64))
            result = self._round(index, of_array(np.array(True)), carried, 1)
            goes_on = _truth(result[0])
            carried, scans = self._split(result)
            scanned.append(scans)
            rounds += 1
        if goes_on is None:
            return None
        return [*carried, *(_joined(column) for column in zip(*scanned, strict=True))]

    def _round(
        self, index: Value, condition: Value, carried: list[Value], times: int
    ) -> list[Value]:
        inputs = [index, condition, *carried]
        result = self._execution.graph(self._body, inputs, self._frame, times)
        return result or [of_type(TypeProto())]

    def _split(self, result: list[Value]) -> tuple[list[Value], list[Value]]:
        """What a round hands to the next one, and what is kept of it."""
        end = 1 + len(self._carried)
        lacking = max(0, end - len(result))
        return [*result[1:end], *(of_type(TypeProto()) for _ in range(lacking))], result[end:]


def _scan(execution: Execution, node: NodeProto, inputs: _Inputs, frame: Frame) -> list[Value]:
    count = _integer(node, "num_scan_inputs", 0)
    given = [value or of_type(TypeProto()) for value in inputs]
    states, scanned = given[: len(given) - count], given[len(given) - count :]
    axes = _integers(node, "scan_input_axes") or [0] * count
    slices = [_slice(value, axis) for value, axis in zip(scanned, axes, strict=False)]
    known = [pair for pair in slices if pair is not None]
    before = len(execution.steps)
    if frame.inference.version("") >= 9 and known and len(known) == count:
        length = known[0][0]
        carried = [_renewed(value) for value in states]
        parts = [part for _, part in known]
        result = execution.graph(_graph(node, "body"), [*carried, *parts], frame, length)
        after, kept = result[: len(states)], result[len(states) :]
        places = _integers(node, "scan_output_axes") or [0] * len(kept)
        if length and not any(map(_differ, carried, after)) and len(after) == len(carried):
            return _fitted(
                [*map(_renewed, after), *map(_stacked, kept, [length] * len(kept), places)], node
            )
    del execution.steps[before:]
    return _opaque(execution, node, inputs, frame, [])


#: operator -> what follows it
OPERATORS: dict[str, Callable[[Execution, NodeProto, _Inputs, Frame], list[Value]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}


def _opaque(
    execution: Execution,
    node: NodeProto,
    inputs: _Inputs,
    frame: Frame,
    outputs: Sequence[Value],
) -> list[Value]:
    """One step of which only the tensors are known, as far as they are."""
    made = _fitted(list(outputs), node)
    execution.add(Step(node, list(inputs), list(made), frame.times, opaque=True))
    return made


def _fitted(outputs: list[Value], node: NodeProto) -> list[Value]:
    """As many outputs as the node has."""
    lacking = max(0, len(node.output) - len(outputs))
    return [*outputs[: len(node.output)], *(of_type(TypeProto()) for _ in range(lacking))]


def _graph(node: NodeProto, name: str) -> GraphProto:
    return next((item.g for item in node.attribute if item.name == name), GraphProto())


def _integer(node: NodeProto, name: str, default: int) -> int:
    return next((item.i for item in node.attribute if item.name == name), default)


def _integers(node: NodeProto, name: str) -> list[int]:
    return next((list(item.ints) for item in node.attribute if item.name == name), [])


def _number(value: Value | None) -> int | None:
    """The one whole number in a tensor, where it is known."""
    if value is None or value.data is None or value.data.size != 1:
        return None
    return int(value.data.reshape(-1)[0])


def _truth(value: Value | None) -> bool | None:
    number = _number(value)
    return None if number is None else bool(number)


def _renewed(value: Value) -> Value:
    """A tensor of the same type whose contents are not known."""
    renewed = of_type(value.type)
    renewed.static = value.static
    return renewed


def _differ(before: Value, after: Value) -> bool:
    return before.shape is None or before.shape != after.shape or before.dtype != after.dtype


def _common(pair: Sequence[Value]) -> Value:
    """A tensor that is one of two: of their shape where they have the same."""
    first, second = pair
    if _differ(first, second):
        return of_type(TypeProto())
    return _renewed(first)


def _stacked(value: Value, length: int, axis: int = 0) -> Value:
    """As many tensors like this, along a new axis."""
    if value.shape is None:
        return of_type(TypeProto())
    place = axis + len(value.shape) + 1 if axis < 0 else axis
    return of_shape((*value.shape[:place], length, *value.shape[place:]), value.dtype)


def _joined(values: Sequence[Value]) -> Value:
    if any(_differ(values[0], value) for value in values):
        return of_type(TypeProto())
    return _stacked(values[0], len(values))


def _slice(value: Value, axis: int) -> tuple[int, Value] | None:
    """How many tensors there are along an axis, and one of them."""
    if value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return None
    place = axis % len(value.shape)
    rest = (*value.shape[:place], *value.shape[place + 1 :])
    return value.shape[place], of_shape(rest, value.dtype)
