"""The operator calls that a run of an ONNX model makes: names, shapes, dtypes and attributes.

Names of nodes and tensors, and contents other than the attributes that rules read, stay behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from onnx import AttributeProto, NodeProto, TypeProto

from aimatrix.dialects.onnx import RULES
from aimatrix.dialects.onnx.shapes import output_shapes
from aimatrix.dialects.onnx.unfuse import unfuse
from aimatrix.dialects.raw import RawCall
from aimatrix.importers.imported import RunCalls
from aimatrix.importers.onnx.inference import Inference
from aimatrix.importers.onnx.pairs import Pairs
from aimatrix.importers.onnx.steps import Step
from aimatrix.importers.onnx.values import Value, of_shape

#: of an attribute: longer ones are data
_LONGEST = 64

#: where the tensors of a call are whose shapes are not all known: no rule looks there, so that
#: the call stays an unknown one, with the bytes that are known
KNOWN = "known"


def calls_of(steps: Sequence[Step], inference: Inference, device: str) -> RunCalls:
    """Each distinct call, with how often a run makes it, and who consumes whose output."""
    places: dict[str, int] = {}
    counted: list[tuple[RawCall, int]] = []
    pairs = Pairs()
    for step in steps:
        whole = _call(step, inference, device)
        parts = []
        for raw in unfuse(whole):
            place = places.setdefault(repr(raw), len(counted))
            if place == len(counted):
                counted.append((raw, 0))
            counted[place] = counted[place][0], counted[place][1] + step.times
            parts.append((raw, place))
        pairs.add(step, whole, parts)
    return RunCalls(counted, pairs.counted())


def other_types(node: NodeProto, inputs: Sequence[Value | None]) -> list[TypeProto] | None:
    """The types of the outputs of a runtime's own operator; None where no dialect knows it."""
    arguments = [value.argument("cpu") if value is not None else None for value in inputs]
    if any(
        argument is None
        for argument, value in zip(arguments, inputs, strict=False)
        if value is not None
    ):
        return None
    shapes = output_shapes(
        RawCall(
            name=_name(node),
            arguments={**_attributes(node), "inputs": tuple(arguments), "outputs": ()},
            dialect="onnx",
        )
    )
    if shapes is None:
        return None
    types = [of_shape(shape.shape, shape.dtype).type for shape in shapes]
    return [*types, *(TypeProto() for _ in node.output)][: len(node.output)]


def _call(step: Step, inference: Inference, device: str) -> RawCall:
    node = step.node
    inputs = [value.argument(device) if value is not None else None for value in step.inputs]
    outputs = [
        value.argument(device)
        for name, value in zip(node.output, step.outputs, strict=False)
        if name
    ]
    all_inputs = all(
        argument is not None
        for argument, value in zip(inputs, step.inputs, strict=False)
        if value is not None
    )
    arguments: dict[str, Any] = {}
    if all_inputs and not step.opaque:
        arguments["inputs"] = tuple(inputs)
    else:
        arguments[KNOWN] = tuple(argument for argument in inputs if argument is not None)
    if all_inputs and not step.opaque and None not in outputs:
        arguments["outputs"] = tuple(outputs)
    attributes = {**_attributes(node), **_small_inputs(step, inference)}
    return RawCall(name=_name(node), arguments={**arguments, **attributes}, dialect="onnx")


def _name(node: NodeProto) -> str:
    return f"{node.domain or 'onnx'}::{node.op_type}"


def _small_inputs(step: Step, inference: Inference) -> dict[str, Any]:
    """The contents of those inputs that the operator's rule reads, by their formal names."""
    rule = RULES.get(step.operator)
    schema = inference.schema(step.node) if rule is not None and rule.reads else None
    if rule is None or schema is None:
        return {}
    formal = [item.name for item in schema.inputs]
    return {
        name: _numbers(value.data.reshape(-1).tolist())
        for name, value in zip(formal, step.inputs, strict=False)
        if name in rule.reads and value is not None and value.data is not None
    }


def _numbers(values: Sequence[Any]) -> tuple[Any, ...] | None:
    return tuple(values) if len(values) <= _LONGEST and all(map(isfinite, values)) else None


def _attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node that are numbers, texts, or short lists of numbers."""
    read = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    return {name: value for name, value in read.items() if value is not None}


def _attribute(attribute: AttributeProto) -> Any:
    if attribute.type == AttributeProto.INT:
        return attribute.i
    if attribute.type == AttributeProto.FLOAT:
        return attribute.f if isfinite(attribute.f) else None
    if attribute.type == AttributeProto.STRING:
        return attribute.s.decode(errors="replace") if len(attribute.s) <= _LONGEST else None
    if attribute.type == AttributeProto.INTS:
        return _numbers(attribute.ints)
    if attribute.type == AttributeProto.FLOATS:
        return _numbers(attribute.floats)
    return None
