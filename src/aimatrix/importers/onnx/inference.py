"""What an ONNX node makes of its inputs: the types of its outputs, and small contents of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    defs,
    helper,
    numpy_helper,
)
from onnx.defs import OpSchema
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

from aimatrix.importers.onnx.steps import OWN_DOMAINS
from aimatrix.importers.onnx.values import FOLLOWED, Value, contents, shape_of

#: operators of which shapes are computed; the contents of what others make are not followed
_FOLLOWED_NAMES = (
    "Abs Add And Cast CastLike Ceil Clip Compress Concat ConstantOfShape CumSum Div Equal Expand"
    " Floor Gather GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Max"
    " Min Mod Mul Neg NonZero Not Or Pow Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape"
    " Round ScatterElements ScatterND Sign Slice Split Sqrt Squeeze Sub Sum Tile Transpose"
    " Unsqueeze Where Xor"
)
_FOLLOWED = frozenset(_FOLLOWED_NAMES.split())

#: of the versions of ONNX's own operators
_NEWEST = defs.onnx_opset_version()

#: operators of the shape of their first input, of which ONNX has no rule
_AS_FIRST_INPUT = (
    "Binarizer",
    "GroupNormalization",
    "Imputer",
    "MeanVarianceNormalization",
    "Normalizer",
    "Scaler",
)


class Inference:
    """The operators of a model, at the versions that it imports."""

    def __init__(self, opsets: Sequence[OperatorSetIdProto], ir_version: int) -> None:
        self._opsets = {_domain(opset.domain): opset.version for opset in opsets}
        self._imports = list(opsets)
        self._ir_version = ir_version
        self._schemas: dict[tuple[str, str], OpSchema | None] = {}
        #: what was inferred before: layers are alike
        self._known: dict[tuple[Any, ...], list[TypeProto]] = {}

    def version(self, domain: str) -> int:
        """The version of a domain's operators; 1 of one that the model does not import."""
        return int(self._opsets.get(_domain(domain), 1))

    def schema(self, node: NodeProto) -> OpSchema | None:
        """What ONNX says of a node's operator; None of one that it does not know."""
        key = _domain(node.domain), node.op_type
        if key not in self._schemas:
            self._schemas[key] = _schema(key[1], self.version(key[0]), key[0])
        return self._schemas[key]

    def types(self, node: NodeProto, inputs: Sequence[Value | None]) -> list[TypeProto] | None:
        """The types of a node's outputs, by place, as far as they follow from its inputs.

        None for an operator that ONNX does not know.
        """
        schema = self.schema(node)
        if schema is None:
            return None
        key = _key(node, inputs)
        if key not in self._known:
            self._known[key] = self._inferred(schema, node, inputs)
        return self._known[key]

    def _inferred(
        self, schema: OpSchema, node: NodeProto, inputs: Sequence[Value | None]
    ) -> list[TypeProto]:
        named = dict(zip(node.input, inputs, strict=True))
        known = {name: value for name, value in named.items() if value is not None}
        try:
            inferred: Mapping[str, TypeProto] = infer_node_outputs(
                schema,
                node,
                {name: value.type for name, value in known.items()},
                {
                    name: _tensor(value.data, name)
                    for name, value in known.items()
                    if value.data is not None
                },
                opset_imports=self._imports,
                ir_version=self._ir_version,
            )
        except Exception:  # inputs that do not fit the operator: nothing is known of what it makes
            inferred = {}
        types = [inferred.get(name, TypeProto()) for name in node.output]
        if node.op_type in _AS_FIRST_INPUT and types and inputs and inputs[0] is not None:
            types[0] = inputs[0].type
        return types

    def contents(
        self, node: NodeProto, inputs: Sequence[Value | None], types: Sequence[TypeProto]
    ) -> list[np.ndarray[Any, Any] | None]:
        """What is in a node's outputs, by place; None where it is not known, or much."""
        nothing: list[np.ndarray[Any, Any] | None] = [None] * len(types)
        if node.domain not in OWN_DOMAINS:
            return nothing
        if node.op_type in ("Shape", "Size"):
            return [_size(node, inputs[0])] if inputs and inputs[0] is not None else nothing
        if node.op_type == "Constant":
            return [_constant(node)]
        known = {
            name: value.data
            for name, value in zip(node.input, inputs, strict=True)
            if value is not None and value.data is not None
        }
        if (
            node.op_type not in _FOLLOWED
            or any(name and name not in known for name in node.input)
            or not all(_is_small(kind) for kind in types)
        ):
            return nothing
        return _evaluate(node, known, self.version("")) or nothing


def _key(node: NodeProto, inputs: Sequence[Value | None]) -> tuple[Any, ...]:
    """All that the types of a node's outputs follow from."""
    return (
        node.domain,
        node.op_type,
        tuple(attribute.SerializeToString() for attribute in node.attribute),
        tuple(map(bool, node.output)),
        tuple(value and value.type.SerializeToString() for value in inputs),
        tuple(
            value.data.tobytes() if value is not None and value.data is not None else None
            for value in inputs
        ),
    )


def _domain(domain: str) -> str:
    return "" if domain in OWN_DOMAINS else domain


@functools.cache
def _schema(operator: str, version: int, domain: str) -> OpSchema | None:
    """An operator at a version; where that infers no shapes, at the next one that does."""
    found = None
    for later in range(version, max(version, _NEWEST) + 1):
        try:
            schema = defs.get_schema(operator, later, domain)
        except (defs.SchemaError, TypeError):  # none, or a version beyond any
            continue
        found = found or schema
        if schema.has_type_and_shape_inference_function:
            return schema
    return found


def _tensor(array: np.ndarray[Any, Any], name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.array(array, order="C"))
    tensor.name = name
    return tensor


def _is_small(kind: TypeProto) -> bool:
    shape = shape_of(kind)
    return shape is not None and prod(shape) <= FOLLOWED


def _size(node: NodeProto, value: Value) -> np.ndarray[Any, Any] | None:
    """What Shape and Size give for a tensor of known shape."""
    if value.shape is None:
        return None
    if node.op_type == "Size":
        return np.array(prod(value.shape), np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    part = value.shape[slice(bounds.get("start", 0), bounds.get("end", len(value.shape)))]
    return np.array(part, np.int64)


def _constant(node: NodeProto) -> np.ndarray[Any, Any] | None:
    """What a Constant node holds."""
    for attribute in node.attribute:
        if attribute.name == "value":
            array = contents(attribute.t)
            return array if array is not None and array.size <= FOLLOWED else None
        if attribute.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(attribute), np.int64)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(attribute), np.float32)
    return None


def _evaluate(
    node: NodeProto, inputs: Mapping[str, Any], version: int
) -> list[np.ndarray[Any, Any] | None] | None:
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(_alone(node), opsets={"": version}).run(None, dict(inputs))
    except Exception:  # arguments that make no sense, or what the evaluator does not know
        return None
    return [result if _is_numbers(result) else None for result in results]


def _alone(node: NodeProto) -> GraphProto:
    """A graph of this node, for a node by itself is evaluated as of the newest version."""
    return GraphProto(
        node=[node],
        input=[ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name],
        output=[ValueInfoProto(name=name) for name in node.output if name],
    )


def _is_numbers(result: Any) -> bool:
    return (
        isinstance(result, (np.ndarray, np.generic))
        and result.size <= FOLLOWED
        and result.dtype.kind in "biuf"
    )
