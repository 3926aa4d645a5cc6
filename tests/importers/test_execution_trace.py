"""Operators out of execution traces of every version of the format, made by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from execution_traces import NodeMaker

from aimatrix.dialects import aten
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers import execution_trace
from aimatrix.importers.imported import Imported

CONV = (
    "aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1,"
    " SymInt[2] padding=0, SymInt[2] dilation=1, SymInt groups=1) -> Tensor"
)
PAIR = ([1, 1], [[], []], "GenericList[Int,Int]")
tensor = NodeMaker.tensor


def read(trace: NodeMaker, path: Path) -> Imported:
    path.write_text(trace.text())
    return execution_trace.read(path, aten.ATTRIBUTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


def convolution(trace: NodeMaker) -> None:
    """A convolution without bias, and an operator inside of it."""
    inputs = (
        tensor(2, 3, 8, 8, dtype="c10::Half", device="cuda:1"),
        tensor(4, 3, 3, 3, dtype="c10::Half", device="cuda:1"),
        ("<None>", [], "None"),
        PAIR,
        PAIR,
        PAIR,
        (1, [], "Int"),
    )
    with trace.operator("aten::conv2d", CONV, *inputs):
        trace.relu(2, 3)


@pytest.mark.parametrize(
    ("schema", "is_flat"),
    [
        ("1.0.0", True),
        ("1.0.1", True),
        ("1.0.2-chakra.0.0.4", False),
        ("1.0.3-chakra.0.0.4", False),
        ("1.0.4-chakra.0.0.4", False),
        ("1.1.0-chakra.0.0.4", False),
        ("1.1.1-chakra.0.0.4", False),
    ],
)
def test_every_version_tells_the_call_that_a_capture_tells(
    schema: str, is_flat: bool, path: Path
) -> None:
    trace = NodeMaker(schema, is_flat=is_flat)
    convolution(trace)
    found = read(trace, path)
    (call,) = found.calls
    assert (call.calls, call.warps, found.warnings, found.odd) == (1, None, [], 0)
    assert call.raw == RawCall(
        "aten::conv2d",
        {
            "input": TensorArg((2, 3, 8, 8), "float16", "cuda"),
            "weight": TensorArg((4, 3, 3, 3), "float16", "cuda"),
            "bias": None,
            "stride": (1, 1),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
        },
    )


@pytest.mark.parametrize("schema", ["1.1.2", "1.2.0-chakra.0.0.9", "2.0", "10.0.0-chakra.1.0.0"])
def test_a_newer_version_is_read_with_a_warning(schema: str, path: Path) -> None:
    trace = NodeMaker(schema)
    convolution(trace)
    found = read(trace, path)
    assert len(found.calls) == 1
    (warning,) = found.warnings
    assert schema in warning


@pytest.mark.parametrize("schema", [None, 7, "new", ""])
def test_a_file_that_tells_no_version_is_read_with_a_warning(schema: Any, path: Path) -> None:
    trace = NodeMaker()
    trace.relu(3)
    path.write_text(json.dumps({"nodes": trace.nodes, "schema": schema}))
    found = execution_trace.read(path, {})
    assert len(found.calls) == 1
    assert "which version" in found.warnings[0]


def test_files_may_be_gzipped(path: Path) -> None:
    trace = NodeMaker()
    convolution(trace)
    plain = read(trace, path)
    packed = path.with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert execution_trace.read(packed, aten.ATTRIBUTES).calls == plain.calls


def test_nodes_may_come_in_the_order_of_their_numbers(path: Path) -> None:
    trace = NodeMaker()
    with trace.range("autograd::engine::evaluate_function: ConvolutionBackward0"):
        convolution(trace)
    trace.relu(3)
    as_written = read(trace, path)
    trace.nodes.sort(key=lambda node: node["id"])
    by_number = read(trace, path)
    found = {(call.raw.name, call.raw.phase, call.calls) for call in by_number.calls}
    assert found == {("aten::conv2d", "backward", 1), ("aten::relu", "forward", 1)}
    assert found == {(call.raw.name, call.raw.phase, call.calls) for call in as_written.calls}


def test_phases_come_from_the_ranges_around_an_operator(path: Path) -> None:
    trace = NodeMaker()
    trace.relu(1)
    node = "autograd::engine::evaluate_function: ReluBackward0"
    with trace.range(node), trace.range("ReluBackward0", scope=1):
        trace.relu(2)
        with trace.range("Optimizer.step#SGD.step", scope=7):
            trace.relu(3)  # an optimizer that runs in the backward pass
    with trace.range("Optimizer.step#LBFGS.step", scope=7):
        trace.relu(4)
        trace.relu(5, sequence=7)  # a closure has gradients
    found = {
        call.raw.arguments["self"].shape[0]: call.raw.phase for call in read(trace, path).calls
    }
    assert found == {1: "forward", 2: "backward", 3: "backward", 4: "optimizer", 5: "forward"}


def test_ranges_and_marks_are_no_operators(path: Path) -> None:
    trace = NodeMaker()
    enter = "profiler::_record_function_enter_new(str name, str? args=None) -> RecordFunction"
    with trace.operator("profiler::_record_function_enter_new", enter):
        pass
    for name in ("## forward ##", "nn.Module: Linear_0", "mylib::step", "record_param_comms"):
        with trace.range(name, scope=7 if name != "record_param_comms" else 0):
            trace.relu(3)
    (call,) = read(trace, path).calls
    assert (call.raw.name, call.calls) == ("aten::relu", 4)


def test_tensors_without_data_are_no_work(path: Path) -> None:
    trace = NodeMaker()
    relu = "aten::relu(Tensor self) -> Tensor"
    with trace.operator("aten::relu", relu, tensor(3, device="meta")):
        trace.relu(4)
    empty = "aten::empty.memory_format(SymInt[] size, *, Device? device=None) -> Tensor"
    size = ([2], [[]], "GenericList[Int]")
    with trace.operator("aten::empty", empty, size, ("meta", [], "Device")):
        pass
    (call,) = read(trace, path).calls
    assert call.raw.arguments["self"].shape == (4,)


def test_lists_texts_and_numbers_are_told_as_a_capture_tells_them(path: Path) -> None:
    trace = NodeMaker()
    schema = (
        'my::op.out(Tensor?[] many, str said="a, (b)", float scale=0., float[]? scales=None,'
        ' Tensor? none=None, Tensor number=None, str long="", float far=0., *, Dict(str, Tensor) d,'
        " int left_out=1) -> Tensor"
    )
    inputs = (
        (
            [[1, 2, 0, 6, 4, "cpu"], "<None>", [3, 4, 0, 0, 8, "cpu"]],
            [[2, 3], [], [0]],
            "GenericList[Tensor(float),None,Tensor(c10::complex<float>)]",
        ),
        ("same", [], "String"),
        (0.333333, [], "Double"),
        ([2.0, 0.1], [[], []], "GenericList[Double,Double]"),
        ([0, 0, 0, 0, 0, ""], [], "Tensor(nullptr (uninitialized))"),
        (1.5, [], "Double"),
        ("x" * 65, [], "String"),
        ("inf", [], "Double"),
        ("<GenericDict>", [], "GenericDict"),
        (5, [], "Int"),
    )
    with trace.operator("my::op", schema, *inputs):
        pass
    path.write_text(trace.text())
    kept = ("said", "scale", "scales", "long", "far")
    (call,) = execution_trace.read(path, {"my::op": kept}).calls
    assert call.raw.overload == "out"
    assert call.raw.arguments == {
        "many": (TensorArg((2, 3)), None, TensorArg((0,), "complex64")),
        "said": "same",
        "scale": 1 / 3,
        "scales": (2.0, 0.1),
        "none": None,
        "number": None,
        "d": None,
    }


def test_an_operator_whose_inputs_make_no_sense_is_known_by_its_name(path: Path) -> None:
    trace = NodeMaker()
    with trace.operator("aten::relu", "aten::relu(Tensor self) -> Tensor", ([], [-3], "Tensor(f)")):
        pass
    found = read(trace, path)
    assert [call.raw for call in found.calls] == [RawCall("aten::relu")]
    assert "only the name" in found.warnings[0]


@pytest.mark.parametrize("content", ["{}", '{"nodes": {}}', "7", '{"traceEvents": []}'])
def test_a_file_without_nodes_is_told(content: str, path: Path) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match="has no nodes"):
        execution_trace.read(path, {})


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        execution_trace.read(path, {})
