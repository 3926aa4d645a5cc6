"""What nodes of ONNX cost, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from onnx_calls import call, node

from aimatrix import ops
from aimatrix.dialects.onnx import translate
from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall


def read_and_written(of: OpCall) -> tuple[int, int]:
    cost = ops.cost(of)
    return cost.bytes_read, cost.bytes_written


#: name -> (node, family, multiply-adds, bytes read, bytes written)
COSTS: dict[str, tuple[RawCall, str, int, int, int]] = {
    "quantised convolution": (
        node(
            "QLinearConv",
            [
                ([1, 3, 8, 8], "uint8"),
                [],
                ([], "uint8"),
                ([4, 3, 3, 3], "int8"),
                [],
                ([], "int8"),
                [],
                ([], "uint8"),
                ([4], "int32"),
            ],
            [([1, 4, 6, 6], "uint8")],
        ),
        "convolution",
        4 * 36 * 27,
        192 + 108 + 4,
        144,
    ),
    "convolution of whole numbers": (
        node(
            "ConvInteger",
            [([1, 3, 8, 8], "uint8"), ([4, 3, 3, 3], "uint8"), ([], "uint8")],
            [([1, 4, 6, 6], "int32")],
        ),
        "convolution",
        4 * 36 * 27,
        192 + 108,
        144,
    ),
    "convolution with channels last": (
        node(
            "com.microsoft::NhwcConv",
            [([1, 8, 9, 4], "float16"), ([6, 2, 3, 3], "float16"), ([6], "float16")],
            [([1, 6, 7, 6], "float16")],
            group=2,
        ),
        "convolution",
        6 * 6 * 7 * 2 * 9,
        2 * (8 * 9 * 4 + 6 * 2 * 9 + 6),
        2 * 6 * 6 * 7,
    ),
    "convolution with its filters' channels last": (
        node(
            "com.ms.internal.nhwc::Conv",
            [[1, 8, 9, 4], [6, 3, 3, 4]],
            [[1, 6, 7, 6]],
            kernel_shape=(3, 3),
        ),
        "convolution",
        6 * 6 * 7 * 4 * 9,
        4 * (8 * 9 * 4 + 6 * 4 * 9),
        4 * 6 * 6 * 7,
    ),
    "deformed convolution": (
        node(
            "DeformConv",
            [[1, 4, 5, 5], [6, 2, 3, 3], [1, 18, 3, 3], [6]],
            [[1, 6, 3, 3]],
            group=2,
        ),
        "contraction",
        6 * 9 * 2 * 9,
        4 * (100 + 108 + 162 + 6),
        4 * 54,
    ),
    "product of whole numbers": (
        node("MatMulInteger", [([2, 3, 4], "uint8"), ([4, 5], "int8")], [([2, 3, 5], "int32")]),
        "matmul",
        2 * 3 * 4 * 5,
        24 + 20,
        30,
    ),
    "quantised product": (
        node(
            "QLinearMatMul",
            [([3, 4], "uint8"), [], ([], "uint8"), ([4, 5], "int8"), [], ([], "int8"), [], []],
            [([3, 5], "uint8")],
        ),
        "matmul",
        60,
        12 + 20,
        15,
    ),
    "weights of four bits": (
        node(
            "com.microsoft::MatMulNBits",
            [[2, 3, 64], ([16, 2, 16], "uint8"), [32]],
            [[2, 3, 16]],
            K=64,
            N=16,
            bits=4,
            block_size=32,
        ),
        "matmul",
        6 * 64 * 16,
        4 * (6 * 64 + 64 * 16),
        4 * 6 * 16,
    ),
    "linear model": (
        node("ai.onnx.ml::LinearRegressor", [[5, 8]], [[5, 3]]),
        "matmul",
        5 * 8 * 3,
        4 * (40 + 24 + 3),
        4 * 15,
    ),
    "two experts for each row": (
        node(
            "com.microsoft::MoE",
            [[2, 3, 8], [6, 4], [4, 16, 8], None, [4, 8, 16]],
            [[2, 3, 8]],
            k=2,
        ),
        "contraction",
        2 * 6 * (8 * 16 + 16 * 8),
        4 * (48 + 24 + 2 * 4 * 8 * 16),
        4 * 48,
    ),
    "two gated experts of four bits": (
        node(
            "com.microsoft::QMoE",
            [[6, 8], [6, 4], ([4, 32, 4], "uint8"), [4, 32], None, ([4, 8, 8], "uint8"), [4, 8]],
            [[6, 8]],
            k=2,
            expert_weight_bits=4,
        ),
        "contraction",
        2 * 6 * (8 * 32 + 16 * 8),
        4 * (48 + 24 + 4 * 32 * 4 + 4 * 32 + 4 * 64 + 4 * 8),
        4 * 48,
    ),
    "attention with a past": (
        node(
            "Attention",
            [[1, 2, 1, 8], [1, 2, 1, 8], [1, 2, 1, 8], None, [1, 2, 6, 8], [1, 2, 6, 8]],
            [[1, 2, 1, 8], [1, 2, 7, 8], [1, 2, 7, 8]],
        ),
        "attention",
        2 * 7 * 16,
        4 * (16 + 2 * 2 * 7 * 8),
        4 * 16,
    ),
    "rows of a table": (
        node("Gather", [([100, 8], "float16"), ([2, 3], "int64")], [([2, 3, 8], "float16")]),
        "indexing",
        0,
        48 * 2 + 6 * 8,
        48 * 2,
    ),
    "slices by index": (
        node("GatherND", [[4, 5, 6], ([3, 2], "int64")], [[3, 6]]),
        "indexing",
        0,
        18 * 4 + 6 * 8,
        18 * 4,
    ),
    "slices written by index": (
        node("ScatterND", [[4, 5, 6], ([3, 2], "int64"), [3, 6]], [[4, 5, 6]]),
        "indexing",
        0,
        18 * 4 + 6 * 8,
        18 * 4,
    ),
    "slices added by index": (
        node("ScatterND", [[4, 6], ([3, 1], "int64"), [3, 6]], [[4, 6]], reduction="add"),
        "indexing",
        0,
        2 * 18 * 4 + 3 * 8,
        18 * 4,
    ),
    "places of what is not zero": (
        node("NonZero", [[4, 5]], [([2, 7], "int64")]),
        "indexing",
        0,
        80,
        0,
    ),
    "largest": (
        node("TopK", [[4, 50], ([1], "int64")], [[4, 3], ([4, 3], "int64")]),
        "sorting",
        0,
        800 + 12 * 8,
        48,
    ),
    "a part": (
        node("Slice", [[4, 50], ([1], "int64"), ([1], "int64")], [[4, 10]]),
        "movement",
        0,
        160,
        160,
    ),
    "parts": (node("Split", [[4, 50]], [[4, 20], [4, 30]]), "movement", 0, 800, 800),
    "axes in another order": (
        node("Transpose", [[4, 50]], [[50, 4]], perm=(1, 0)),
        "movement",
        0,
        800,
        800,
    ),
    "expanded": (node("Expand", [[4, 1], ([2], "int64")], [[4, 5]]), "movement", 0, 80, 80),
    "another shape": (
        node("Unsqueeze", [[4, 5], ([1], "int64")], [[4, 5, 1]]),
        "movement",
        0,
        0,
        0,
    ),
    "shape": (node("Shape", [[4, 5]], [([2], "int64")]), "movement", 0, 0, 0),
    "conversion": (node("Cast", [[4, 5]], [([4, 5], "float16")], to=10), "movement", 0, 80, 80),
    "conversion to what it is": (node("Cast", [[4, 5]], [[4, 5]], to=1), "movement", 0, 0, 0),
    "fill": (
        node("ConstantOfShape", [([2], "int64")], [([4, 5], "float16")]),
        "movement",
        0,
        0,
        40,
    ),
    "one of many": (
        node("OneHot", [([4], "int64"), ([], "int64"), [2]], [[4, 10]]),
        "movement",
        0,
        0,
        160,
    ),
    "random numbers": (node("RandomNormal", [], [([3], "float64")]), "movement", 0, 0, 24),
    "dropout at inference": (node("Dropout", [[4, 5]], [[4, 5]]), "elementwise", 0, 0, 0),
    "dropout in training": (
        node("Dropout", [[4, 5], [], ([], "bool")], [[4, 5], ([4, 5], "bool")], training_mode=(1,)),
        "elementwise",
        0,
        80,
        160,
    ),
    "quantised by one scale": (
        node("QuantizeLinear", [[4, 5], [], ([], "uint8")], [([4, 5], "uint8")]),
        "elementwise",
        0,
        80,
        80,
    ),
    "quantised by the scale of each channel": (
        node("QuantizeLinear", [[4, 5], [5], ([5], "uint8")], [([4, 5], "uint8")], axis=1),
        "elementwise",
        0,
        80 + 20 + 20,
        80,
    ),
    "weights of four bits as real numbers": (
        node("DequantizeLinear", [([4, 6], "int4"), []], [[4, 6]]),
        "elementwise",
        0,
        12,
        12,
    ),
    "an odd number of elements of four bits": (
        node("Transpose", [([3, 5], "uint4")], [([5, 3], "uint4")]),
        "movement",
        0,
        8,
        8,
    ),
    "quantised sum": (
        node(
            "com.microsoft::QLinearAdd",
            [
                ([4, 5], "uint8"),
                [],
                ([], "uint8"),
                ([5], "uint8"),
                [],
                ([], "uint8"),
                [],
                ([], "uint8"),
            ],
            [([4, 5], "uint8")],
        ),
        "elementwise",
        0,
        25,
        20,
    ),
    "quantised parts joined": (
        node(
            "com.microsoft::QLinearConcat",
            [[], ([], "uint8"), ([2, 3], "uint8"), [], ([], "uint8"), ([2, 4], "uint8"), []],
            [([2, 7], "uint8")],
            axis=1,
        ),
        "movement",
        0,
        14,
        14,
    ),
    "rotated positions": (
        node(
            "com.microsoft::RotaryEmbedding",
            [[1, 5, 32], ([1, 5], "int64"), [99, 4], [99, 4]],
            [[1, 5, 32]],
        ),
        "elementwise",
        0,
        4 * (160 + 2 * 20),
        4 * 160,
    ),
    "step of Adam": (
        node(
            "ai.onnx.preview.training::Adam",
            [[], ([], "int64"), [8], [8], [8], [8]],
            [[8], [8], [8]],
        ),
        "elementwise",
        0,
        4 * 32,
        4 * 24,
    ),
    "complex spectrum": (
        node("DFT", [[1, 8, 2]], [[1, 8, 2]], axis=1),
        "fourier",
        60,  # 2.5 x 8 x 3
        64,
        64,
    ),
    "real signal of half a spectrum": (
        node("DFT", [[1, 5, 2]], [[1, 8, 1]], axis=1, inverse=1, onesided=1, dft_length=(8,)),
        "fourier",
        30,
        40,
        32,
    ),
    "frames of a signal": (
        node("STFT", [[1, 128, 1], ([], "int64"), [16]], [[1, 15, 9, 2]], onesided=1),
        "fourier",
        15 * 80,  # 1.25 x 16 x 4
        128 * 4,
        15 * 9 * 2 * 4,
    ),
    "sum over no axis": (
        node("ReduceSum", [[2, 3], ([0], "int64")], [[2, 3]], axes=(), noop_with_empty_axes=1),
        "reduction",
        0,
        24,
        24,
    ),
    "sum over axes that are not told": (
        node("ReduceSum", [[2, 3, 4], ([2], "int64")], [[3]], keepdims=0),
        "reduction",
        0,
        96,
        12,
    ),
    "sum over kept axes that are not told": (
        node("ReduceSum", [[2, 3, 4], ([1], "int64")], [[2, 1, 4]]),
        "reduction",
        0,
        96,
        32,
    ),
    "weights in a format of their own": (
        node(
            "com.microsoft::MatMulFpQ4",
            [[2, 3, 64], ([999], "uint8"), ([2], "int64")],
            [[2, 3, 16]],
        ),
        "matmul",
        6 * 64 * 16,
        4 * (6 * 64 + 64 * 16),
        4 * 96,
    ),
    "causal filter along time": (
        node("CausalConvWithState", [[2, 6, 10], [6, 1, 4], [6], [2, 6, 3]], [[2, 6, 10]]),
        "convolution",
        2 * 6 * 10 * 4,
        4 * (2 * 6 * 13 + 24 + 6),
        4 * 120,
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_node_costs_what_it_reads_writes_and_multiplies(name: str) -> None:
    raw, family, macs, read, written = COSTS[name]
    seen = translate(raw)
    assert seen.family == family
    assert ops.cost(seen).macs == macs
    assert read_and_written(seen) == (read, written)


@pytest.mark.parametrize(
    ("attributes", "output"),
    [
        ({"pads": (0, 0, 1, 1)}, 4),
        ({"pads": (1, 1, 0, 0)}, 4),
        ({"pads": (1, 1, 2, 2)}, 5),
        ({"auto_pad": "SAME_UPPER"}, 4),
        ({"auto_pad": "SAME_LOWER"}, 4),
        ({"auto_pad": "VALID"}, 3),
        ({}, 3),
    ],
)
def test_uneven_pads_give_the_output_that_they_give(
    attributes: dict[str, Any], output: int
) -> None:
    shape = [1, 4, output, output]
    seen = call("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], [shape], strides=(2, 2), **attributes)
    assert ops.output_shape(seen) == tuple(shape)
    assert ops.cost(seen).macs == 4 * output**2 * 27
    pooled = call(
        "MaxPool",
        [[1, 3, 8, 8]],
        [[1, 3, output, output]],
        strides=(2, 2),
        kernel_shape=(3, 3),
        **attributes,
    )
    assert ops.output_shape(pooled) == (1, 3, output, output)


@pytest.mark.parametrize("size", range(8, 14))
def test_a_transposed_convolution_has_the_size_that_came_out(size: int) -> None:
    seen = call(
        "ConvTranspose", [[1, 4, 5], [4, 3, 4]], [[1, 3, size]], strides=(2,), output_shape=(size,)
    )
    assert ops.output_shape(seen) == (1, 3, size)
    assert ops.cost(seen).macs == 4 * 5 * 3 * 4


def test_a_pooling_has_the_size_that_came_out_whatever_its_version_says() -> None:
    odd = call("MaxPool", [[1, 3, 8]], [[1, 3, 6]], kernel_shape=(2,), strides=(2,))
    assert ops.output_shape(odd) == (1, 3, 6)
    assert read_and_written(odd) == (4 * 24, 4 * 18)


def test_what_no_rule_knows_keeps_its_name() -> None:
    seen = call("LinearAttention", [[3, 3]], [[3, 3]])
    assert (seen.family, seen.kind) == ("unknown", "onnx::LinearAttention")
    assert ops.cost(seen).macs is None
    seen = call("com.example::Own", [[3, 3]], [[3]])
    assert (seen.family, seen.kind) == ("unknown", "com.example::Own")


def test_shapes_that_do_not_fit_are_unknown() -> None:
    for raw in (
        node("MatMul", [[2, 3], [4, 5]], [[2, 5]]),
        node("Conv", [[1, 3, 8, 8], [4, 5, 3, 3]], [[1, 4, 6, 6]]),
        node("Gemm", [[2, 3], [4, 5]], [[2, 5]]),
        node("Attention", [[2, 5, 10], [2, 5, 10], [2, 5, 10]], [[2, 5, 10]], q_num_heads=3),
        node("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], [[1, 4, 6, 6]], auto_pad="SOME"),
    ):
        assert translate(raw).family == "unknown"


def test_a_choice_has_the_dtype_of_what_is_chosen_from() -> None:
    seen = call("Where", [([4], "bool"), ([4], "float16"), ([4], "float16")], [([4], "float16")])
    assert seen.dtype == "float16"
    assert call("Equal", [([4], "int32"), ([4], "int32")], [([4], "bool")]).dtype == "int32"
    assert call("Range", [([], "int64")] * 3, [([7], "int64")]).dtype == "int64"
