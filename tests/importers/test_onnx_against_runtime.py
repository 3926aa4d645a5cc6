"""What we take a model to run, against what ONNX Runtime made of it, and the shapes it really had.

Its elimination of equal subexpressions is off: it merges layers of equal weights, which the nine
models have (all are filled with one number) and no real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_models import NINE, fed, light, model, node, number, operators, weights
from onnx_models import whole as integers

from aimatrix.importers.onnx import calls_of_run
from aimatrix.importers.onnx.calls import other_types
from aimatrix.importers.onnx.execution import Execution
from aimatrix.importers.onnx.model import sized
from aimatrix.monitoring.agent.onnx_skeleton import skeleton

_LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
#: move no data, or are made at load
_NO_WORK = ("Shape", "Reshape", "Unsqueeze", "Squeeze", "Flatten")


def of_the_runtime(proto: ModelProto, level: str, folder: Path) -> Counter[str]:
    """The operators of the graph that a session runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = _LEVELS[level]
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(
        proto.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["CommonSubexpressionElimination"],
    )
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return Counter(f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in nodes)


def of_ours(proto: ModelProto, level: str) -> Counter[str]:
    return operators(calls_of_run(skeleton(proto.SerializeToString()), fed(proto), level).calls)


def work(counted: Mapping[str, int]) -> dict[str, int]:
    return {name: times for name, times in counted.items() if name not in _NO_WORK}


@pytest.mark.parametrize("name", NINE)
def test_the_nine_models_run_what_the_runtime_runs(name: str, tmp_path: Path) -> None:
    proto = onnx.load(light(name))
    assert work(of_ours(proto, "basic")) == work(of_the_runtime(proto, "basic", tmp_path))


PRODUCT = [node("MatMul", "x w", "y"), node("Add", "y b", "z")]
CONVOLUTION = node("Conv", "x w", "y")
SCALES = [weights(name, 4) for name in ("scale", "shift", "mean", "var")]
NORMALIZATION = node("BatchNormalization", "y scale shift mean var", "z")
IMAGE = {"x": [1, 3, 8, 8]}
FILTERS = weights("w", 4, 3, 3, 3)


def product(bias: Sequence[int], x: Sequence[int | str] = (2, 8)) -> ModelProto:
    return model(PRODUCT, {"x": x}, stored=[weights("w", 8, 4), weights("b", *bias)])


def behind_convolution(operator: str, operands: str, *shape: int) -> ModelProto:
    nodes = [CONVOLUTION, node(operator, operands, "z")]
    return model(nodes, IMAGE, stored=[FILTERS, weights("b", *shape)])


def padded(mode: str, operator: str, **attributes: object) -> ModelProto:
    nodes = [
        node("Pad", "x p", "y", mode=mode),
        node(operator, "y w" if operator == "Conv" else "y", "z", **attributes),
    ]
    return model(nodes, IMAGE, stored=[FILTERS, integers("p", 0, 0, 1, 1, 0, 0, 1, 1)])


MERGED: dict[str, ModelProto] = {
    "product and bias": product([4]),
    "product and bias of one row": product([1, 4]),
    "product and matrix": product([2, 4]),
    "product and column": product([2, 1]),
    "product and number": product([]),
    "product and one number": product([1]),
    "products of a batch": product([4], [3, 2, 8]),
    "products of a free batch": product([4], ["n", 2, 8]),
    "product of free rows": product([4], ["n", 8]),
    "product of a vector": product([4], [8]),
    "product that is read twice": model(
        PRODUCT, {"x": [2, 8]}, "z y", [weights("w", 8, 4), weights("b", 4)]
    ),
    "products of matrices of their own": model(
        PRODUCT, {"x": [3, 2, 8], "w": [3, 8, 4]}, stored=[weights("b", 4)]
    ),
    "channels added": behind_convolution("Add", "y b", 4, 1, 1),
    "channels added, of a batch": behind_convolution("Add", "y b", 1, 4, 1, 1),
    "channels added the other way": behind_convolution("Add", "b y", 4, 1, 1),
    "number added": behind_convolution("Add", "y b"),
    "image added": behind_convolution("Add", "y b", 1, 4, 6, 6),
    "channels scaled": behind_convolution("Mul", "y b", 4, 1, 1),
    "number scaled": behind_convolution("Mul", "y b"),
    "one channel scaled": behind_convolution("Mul", "y b", 1),
    "normalized": model([CONVOLUTION, NORMALIZATION], IMAGE, stored=[FILTERS, *SCALES]),
    "normalized, scaled, added": model(
        [
            CONVOLUTION,
            node("BatchNormalization", "y scale shift mean var", "n"),
            node("Mul", "n m", "s"),
            node("Add", "s m", "z"),
        ],
        IMAGE,
        stored=[FILTERS, *SCALES, weights("m", 4, 1, 1)],
    ),
    "normalized, of given weights": model(
        [CONVOLUTION, NORMALIZATION], {**IMAGE, "w": [4, 3, 3, 3]}, stored=SCALES
    ),
    "normalized, of weights that may be given": model(
        [CONVOLUTION, NORMALIZATION], {**IMAGE, "w": [4, 3, 3, 3]}, stored=[FILTERS, *SCALES]
    ),
    "normalized, and read twice": model(
        [CONVOLUTION, NORMALIZATION, node("Relu", "y", "r")], IMAGE, "z r", [FILTERS, *SCALES]
    ),
    "transposed convolution normalized": model(
        [node("ConvTranspose", "x w", "y"), NORMALIZATION],
        IMAGE,
        stored=[weights("w", 3, 4, 3, 3), *SCALES],
    ),
    "product normalized": model(
        [node("MatMul", "x w", "y"), NORMALIZATION],
        {"x": [2, 8]},
        stored=[weights("w", 8, 4), *SCALES],
    ),
    "zeros around a convolution": padded("constant", "Conv"),
    "mirror around a convolution": padded("reflect", "Conv"),
    "zeros around a maximum": padded("constant", "MaxPool", kernel_shape=[3, 3]),
    "zeros around an average": padded("constant", "AveragePool", kernel_shape=[3, 3]),
    "sum of a product": model(
        [node("Gemm", "x w", "y"), node("Sum", "y b", "z")],
        {"x": [2, 8]},
        stored=[weights("w", 8, 4), weights("b", 4)],
    ),
    "transposed product": model(
        [node("Transpose", "x", "y", perm=[1, 0]), node("Gemm", "y w", "z")],
        {"x": [8, 2]},
        stored=[weights("w", 8, 4)],
    ),
    "clipped twice": model(
        [node("Relu", "x", "y"), node("Clip", "y low high", "z")],
        IMAGE,
        stored=[number("low", 0), number("high", 6)],
    ),
    "read by nobody": model([node("Relu", "x", "z"), node("Exp", "x", "y")], IMAGE),
}


@pytest.mark.parametrize("name", MERGED)
def test_operators_are_merged_where_the_runtime_merges_them(name: str, tmp_path: Path) -> None:
    proto = MERGED[name]
    assert work(of_ours(proto, "basic")) == work(of_the_runtime(proto, "basic", tmp_path))


def test_a_merged_convolution_has_a_bias_and_the_padding() -> None:
    nodes = [node("Pad", "x p", "q"), node("Conv", "q w", "y", pads=[1, 1, 1, 1]), NORMALIZATION]
    stored = [FILTERS, *SCALES, integers("p", 0, 0, 1, 0, 0, 0, 1, 0)]
    data = skeleton(model(nodes, IMAGE, stored=stored).SerializeToString())
    [(raw, _)] = calls_of_run(data, fed(model([CONVOLUTION], IMAGE)), "all").calls
    assert [tensor.shape for tensor in raw.arguments["inputs"]] == [
        (1, 3, 8, 8),
        (4, 3, 3, 3),
        (4,),
    ]
    assert raw.arguments["pads"] == (2, 1, 2, 1)
    assert raw.arguments["outputs"][0].shape == (1, 4, 10, 8)


def test_nothing_is_merged_at_level_disabled() -> None:
    assert of_ours(MERGED["normalized"], "disabled") == {"Conv": 1, "BatchNormalization": 1}


# Quantized models: q and d are the (de)quantizers, of one scale

SCALE = [number("s", 0.125), numpy_helper.from_array(np.array(0, np.uint8), "u")]
SMALL = numpy_helper.from_array(np.array(0, np.int8), "i")
QUANTIZED_FILTERS = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.int8), "w")
QUANTIZED_MATRIX = numpy_helper.from_array(np.ones((8, 4), np.int8), "w")
BIAS = [
    numpy_helper.from_array(np.ones(4, np.int32), "b"),
    number("s2", 0.125**2),
    numpy_helper.from_array(np.array(0, np.int32), "i2"),
]


def q(source: str, target: str) -> onnx.NodeProto:
    return node("QuantizeLinear", f"{source} s u", target)


def d(source: str, target: str, zero: str = "u") -> onnx.NodeProto:
    return node("DequantizeLinear", f"{source} s {zero}", target)


def quantized(
    nodes: Sequence[onnx.NodeProto], x: Sequence[int], stored: Sequence[TensorProto] = ()
) -> ModelProto:
    """``nodes`` between x and y, which are quantized, with weights w."""
    before = [q("x", "xq"), d("xq", "xd")]
    if any(tensor.name == "w" for tensor in stored):
        before.append(d("w", "wd", "i"))
    if any(tensor.name == "b" for tensor in stored):
        before.append(node("DequantizeLinear", "b s2 i2", "bd"))
    after = [q("y", "yq"), d("yq", "z")]
    return model([*before, *nodes, *after], {"x": x}, stored=[*SCALE, SMALL, *stored])


def of_one(operator: str, **attributes: object) -> ModelProto:
    return quantized([node(operator, "xd", "y", **attributes)], [1, 3, 8, 8])


ON_INTEGERS: dict[str, ModelProto] = {
    "convolution": quantized([node("Conv", "xd wd", "y")], [1, 3, 8, 8], [QUANTIZED_FILTERS]),
    "convolution with bias": quantized(
        [node("Conv", "xd wd bd", "y")], [1, 3, 8, 8], [QUANTIZED_FILTERS, *BIAS]
    ),
    "convolution, then ReLU": quantized(
        [node("Conv", "xd wd", "r"), node("Relu", "r", "y")], [1, 3, 8, 8], [QUANTIZED_FILTERS]
    ),
    "product": quantized([node("MatMul", "xd wd", "y")], [2, 8], [QUANTIZED_MATRIX]),
    "product and bias": quantized(
        [node("Gemm", "xd wd bd", "y")], [2, 8], [QUANTIZED_MATRIX, *BIAS]
    ),
    "chain": quantized(
        [
            node("Conv", "xd wd", "c"),
            q("c", "cq"),
            d("cq", "cd"),
            node("Relu", "cd", "r"),
            q("r", "rq"),
            d("rq", "rd"),
            node("MaxPool", "rd", "y", kernel_shape=[2, 2]),
        ],
        [1, 3, 8, 8],
        [QUANTIZED_FILTERS],
    ),
    "shared input": quantized(
        [node("Conv", "xd wd", "y"), node("Exp", "xd", "e")], [1, 3, 8, 8], [QUANTIZED_FILTERS]
    ),
    "sum": quantized([node("Add", "xd xd", "y")], [1, 3, 8, 8]),
    "joined": quantized([node("Concat", "xd xd", "y", axis=1)], [1, 3, 8, 8]),
    "ReLU": of_one("Relu"),
    "sigmoid": of_one("Sigmoid"),
    "softmax": of_one("Softmax"),
    "average": of_one("GlobalAveragePool"),
    "transposed": of_one("Transpose", perm=[0, 1, 3, 2]),
    "exponential": of_one("Exp"),
}


@pytest.mark.parametrize("name", ON_INTEGERS)
def test_quantized_models_run_on_integers_as_in_the_runtime(name: str, tmp_path: Path) -> None:
    proto = ON_INTEGERS[name]
    assert work(of_ours(proto, "extended")) == work(of_the_runtime(proto, "extended", tmp_path))


def test_a_quantized_convolution_is_of_small_integers() -> None:
    data = skeleton(ON_INTEGERS["convolution"].SerializeToString())
    calls = calls_of_run(data, fed(ON_INTEGERS["convolution"]), "all").calls
    raw = next(raw for raw, _ in calls if raw.name == "onnx::QLinearConv")
    image, _, _, filters, *_ = raw.arguments["inputs"]
    assert (image.dtype, filters.dtype, filters.shape) == ("uint8", "int8", (4, 3, 3, 3))
    assert raw.arguments["outputs"][0].dtype == "uint8"


# Shapes, against those of a run


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "bvlc_alexnet"])
def test_shapes_are_those_of_a_run(name: str) -> None:
    proto = onnx.load(light(name))
    made = {output for one in proto.graph.node for output in one.output if output}
    assert len(made) > 30
    execution = Execution(proto, other_types)
    execution.run(sized(proto, {}))
    expected = run_shapes(proto, made)
    known = {
        output: value.shape
        for step in execution.steps
        for output, value in zip(step.node.output, step.outputs, strict=True)
    }
    assert len(known) > 20
    assert known == {output: expected[output] for output in known}


def run_shapes(proto: ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors inside a model when it runs."""
    shown = ModelProto()
    shown.CopyFrom(proto)
    own = {output.name for output in shown.graph.output}
    shown.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names - own)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options)
    given = {name: np.zeros(argument.shape, np.float32) for name, argument in fed(proto).items()}
    outputs = [output.name for output in session.get_outputs()]
    return {
        output: array.shape
        for output, array in zip(outputs, session.run(outputs, given), strict=True)
    }
