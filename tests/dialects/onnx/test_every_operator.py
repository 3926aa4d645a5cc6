"""Every operator that ONNX defines, by its own list and by the cases that its backends are tested
with: known, or named here with the reason why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest

from aimatrix import ops
from aimatrix.dialects.onnx import RULES, translate
from aimatrix.dialects.raw import RawCall, TensorArg

onnx = pytest.importorskip("onnx")

#: the newest version of ONNX's own operators when this was written; what came later may be unknown
WRITTEN_FOR = 28

UNKNOWN = {
    "If Loop Scan": "what they run is a graph of its own, whose nodes count",
    "SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength"
    " SequenceMap ConcatFromSequence SplitToSequence": "sequences are no tensors",
    "Optional OptionalGetElement": "what may be missing is no tensor",
    "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer": "text",
    "ImageDecoder": "files of images",
    "LinearAttention": "how many products its updates take depends on the rule and on chunks",
}
UNKNOWN_NAMES = set(" ".join(UNKNOWN).split())

#: what comes out is not what the operator writes, or not with as many numbers
OTHER_OUTPUT = {
    "Dropout": "hands its input on",
    "Scatter ScatterElements ScatterND TensorScatter": "writes only where the indices say",
    "Split": "writes several tensors",
    "LSTM GRU RNN": "may hand on the last state alone",
    "DFT STFT": "complex numbers have two parts",
}
OTHER_OUTPUT_NAMES = set(" ".join(OTHER_OUTPUT).split())


def own_operators() -> set[str]:
    schemas = onnx.defs.get_all_schemas_with_history()
    return {
        schema.name
        for schema in schemas
        if schema.domain == "" and schema.since_version <= WRITTEN_FOR
    }


def test_every_operator_of_onnx_has_a_rule_or_a_reason() -> None:
    without = own_operators() - set(RULES) - UNKNOWN_NAMES
    assert without == set()
    assert not UNKNOWN_NAMES & set(RULES)


def as_tensor(value: Any) -> TensorArg:
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    array = np.asarray(value)
    text = array.dtype.kind in "OUS"
    return TensorArg(array.shape, "string" if text else array.dtype.name)


def attributes_of(node: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            plain[attribute.name] = value.decode()
        elif isinstance(value, (int, float)):
            plain[attribute.name] = value
        elif isinstance(value, list) or hasattr(value, "__len__"):
            items = (item.decode() if isinstance(item, bytes) else item for item in value)
            plain[attribute.name] = tuple(items)
    return plain


def read_inputs(node: Any, version: int, values: dict[str, Any]) -> dict[str, Any]:
    """The small inputs that the operator's rule asks for, as an importer hands them over."""
    rule = RULES.get(node.op_type)
    formal = onnx.defs.get_schema(node.op_type, max_inclusive_version=version, domain="").inputs
    return {
        parameter.name: tuple(np.asarray(values[name]).ravel().tolist())
        for parameter, name in zip(formal, node.input, strict=False)
        if rule is not None and parameter.name in rule.reads and name
    }


def one_node_calls() -> Iterator[tuple[str, RawCall]]:
    """(name of the case, its call) of each case that is one node of ONNX's own on tensors."""
    cases = pytest.importorskip("onnx.backend.test.case.node")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        collected = cases.collect_testcases(None)
    for case in collected:
        graph = case.model.graph
        taken, given = case.data_sets[0]
        lists = any(isinstance(value, list) for value in (*taken, *given))
        if len(graph.node) != 1 or graph.node[0].domain or lists:
            continue
        node = graph.node[0]
        values = {item.name: value for item, value in zip(graph.input, taken, strict=True)}
        results = {item.name: value for item, value in zip(graph.output, given, strict=True)}
        version = next(item.version for item in case.model.opset_import if not item.domain)
        arguments = {
            "inputs": tuple(as_tensor(values[name]) if name else None for name in node.input),
            "outputs": tuple(as_tensor(results[name]) for name in node.output if name),
            **attributes_of(node),
            **read_inputs(node, version, values),
        }
        yield case.name, RawCall(f"onnx::{node.op_type}", arguments, dialect="onnx")


@pytest.fixture(scope="module")
def cases() -> dict[str, RawCall]:
    return dict(one_node_calls())


def is_of_text(raw: RawCall) -> bool:
    return any(item is not None and item.dtype == "string" for item in raw.arguments["inputs"])


def test_cases_of_onnx_itself_are_known(cases: dict[str, RawCall]) -> None:
    assert len(cases) > 1000
    unknown = {
        name
        for name, raw in cases.items()
        if translate(raw).family == "unknown"
        and not is_of_text(raw)
        and raw.name.removeprefix("onnx::") in RULES
    }
    assert unknown == set()


def test_cases_of_onnx_itself_write_what_comes_out(cases: dict[str, RawCall]) -> None:
    wrong: dict[str, tuple[int, ...] | None] = {}
    compared = 0
    for name, raw in cases.items():
        call = translate(raw)
        shape = ops.output_shape(call)
        if call.family == "unknown" or shape is None:
            continue
        if raw.name.removeprefix("onnx::") in OTHER_OUTPUT_NAMES:
            continue
        compared += 1
        if prod(shape) != prod(raw.arguments["outputs"][0].shape):
            wrong[name] = shape
    assert wrong == {}
    assert compared > 1000
