"""Shapes that are worked out for ONNX Runtime's own operators are those that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_calls import Tensor, node, tensor

from aimatrix.dialects.onnx.shapes import output_shapes
from aimatrix.dialects.raw import RawCall, TensorArg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

U8, I8, I32, I64 = "uint8", "int8", "int32", "int64"
SCALE: Tensor = []
ZERO: Tensor = ([], U8)
TABLE: Tensor = [99, 8]
IDS: Tensor = ([2, 5], I32)

#: name -> (operator, inputs, attributes); of whole numbers as inputs there are only ones
NODES: dict[str, tuple[str, list[Tensor], dict[str, Any]]] = {
    "Gelu": ("Gelu", [[2, 3]], {}),
    "QuickGelu": ("QuickGelu", [[2, 3]], {}),
    "FastGelu": ("FastGelu", [[2, 3], [3]], {}),
    "BiasGelu": ("BiasGelu", [[2, 3], [3]], {}),
    "SkipLayerNormalization": (
        "SkipLayerNormalization",
        [[2, 5, 8], [2, 5, 8], [8], [8], [8]],
        {},
    ),
    "SkipSimplifiedLayerNormalization": (
        "SkipSimplifiedLayerNormalization",
        [[2, 5, 8], [2, 5, 8], [8]],
        {},
    ),
    "EmbedLayerNormalization": (
        "EmbedLayerNormalization",
        [IDS, IDS, TABLE, TABLE, TABLE, [8], [8], IDS],
        {},
    ),
    "FusedConv": (
        "FusedConv",
        [[1, 4, 9, 8], [6, 2, 3, 2], [6]],
        {
            "activation": "Relu",
            "group": 2,
            "pads": (1, 0, 2, 1),
            "strides": (2, 1),
            "dilations": (1, 2),
        },
    ),
    "FusedConv, padded to its size": (
        "FusedConv",
        [[1, 4, 9, 8], [6, 4, 3, 2]],
        {"activation": "Relu", "auto_pad": "SAME_UPPER", "strides": (2, 2)},
    ),
    "QLinearConv, channels last": (
        "QLinearConv",
        [
            ([1, 9, 8, 4], U8),
            SCALE,
            ZERO,
            ([6, 4, 3, 3], U8),
            SCALE,
            ZERO,
            SCALE,
            ZERO,
        ],
        {"channels_last": 1},
    ),
    "NhwcMaxPool": (
        "NhwcMaxPool",
        [([1, 9, 8, 4], U8)],
        {"kernel_shape": (3, 2), "strides": (2, 2), "pads": (1, 0, 1, 0)},
    ),
    "QLinearAveragePool": (
        "QLinearAveragePool",
        [([1, 4, 9, 8], U8), SCALE, ZERO, SCALE, ZERO],
        {"kernel_shape": (3, 2), "strides": (2, 2), "ceil_mode": 1},
    ),
    "QLinearGlobalAveragePool": (
        "QLinearGlobalAveragePool",
        [([1, 9, 8, 4], U8), SCALE, ZERO, SCALE, ZERO],
        {"channels_last": 1},
    ),
    "FusedMatMul": ("FusedMatMul", [[5, 3, 4], [5, 6, 4]], {"transB": 1}),
    "FusedMatMul, rows": ("FusedMatMul", [[5, 4, 3], [4, 6]], {"transA": 1}),
    "FusedMatMul, batches": (
        "FusedMatMul",
        [[3, 5, 2, 4], [5, 2, 4, 6]],
        {"transBatchA": 1},
    ),
    "FusedGemm": ("FusedGemm", [[3, 4], [6, 4], [6]], {"transB": 1, "activation": "Relu"}),
    "DynamicQuantizeMatMul": (
        "DynamicQuantizeMatMul",
        [[2, 3, 4], ([4, 6], U8), SCALE, ZERO],
        {},
    ),
    "MatMulIntegerToFloat": (
        "MatMulIntegerToFloat",
        [([2, 3, 4], U8), ([4, 6], U8), SCALE, SCALE],
        {},
    ),
    "QGemm": (
        "QGemm",
        [([3, 4], U8), SCALE, ZERO, ([6, 4], U8), SCALE, ZERO, ([6], I32), SCALE, ZERO],
        {"transB": 1},
    ),
    "QGemm to real numbers": (
        "QGemm",
        [([3, 4], U8), SCALE, ZERO, ([4, 6], U8), SCALE, ZERO],
        {},
    ),
    "MatMulNBits": (
        "MatMulNBits",
        [[2, 3, 64], ([16, 2, 16], U8), [32]],
        {"K": 64, "N": 16, "bits": 4, "block_size": 32},
    ),
    "MatMulBnb4": (
        "MatMulBnb4",
        [[2, 3, 64], ([512], U8), [16]],
        {"K": 64, "N": 16, "block_size": 64, "quant_type": 1, "transB": 1},
    ),
    "Attention": ("Attention", [[2, 5, 12], [12, 36], [36]], {"num_heads": 3}),
    "Attention with a past": (
        "Attention",
        [[2, 5, 12], [12, 36], [36], None, [2, 2, 3, 7, 4]],
        {"num_heads": 3, "unidirectional": 1},
    ),
    "QAttention": (
        "QAttention",
        [([2, 5, 12], U8), ([12, 36], U8), [36], SCALE, SCALE, None, ZERO, ZERO],
        {"num_heads": 3},
    ),
    "MultiHeadAttention": (
        "MultiHeadAttention",
        [[2, 5, 12], [2, 7, 12], [2, 7, 12], [36]],
        {"num_heads": 3},
    ),
    "MultiHeadAttention with a past": (
        "MultiHeadAttention",
        [[2, 5, 12], [2, 5, 12], [2, 5, 12], None, None, None, [2, 3, 6, 4], [2, 3, 6, 4]],
        {"num_heads": 3},
    ),
    "GroupQueryAttention": (
        "GroupQueryAttention",
        [[1, 5, 32], [1, 5, 16], [1, 5, 16], None, None, ([1], I32), ([], I32)],
        {"num_heads": 4, "kv_num_heads": 2},
    ),
    "GroupQueryAttention, packed": (
        "GroupQueryAttention",
        [[1, 5, 64], None, None, None, None, ([1], I32), ([], I32)],
        {"num_heads": 4, "kv_num_heads": 2},
    ),
    "RotaryEmbedding": (
        "RotaryEmbedding",
        [[1, 5, 32], ([1, 5], I64), [99, 4], [99, 4]],
        {"num_heads": 4},
    ),
    "QuantizeLinear": ("QuantizeLinear", [[2, 3], SCALE, ([], I8)], {}),
    "DequantizeLinear": ("DequantizeLinear", [([2, 3], I8), SCALE, ([], I8)], {}),
    "QLinearAdd": (
        "QLinearAdd",
        [([2, 3], U8), SCALE, ZERO, ([3], U8), SCALE, ZERO, SCALE, ZERO],
        {},
    ),
    "QLinearMul": (
        "QLinearMul",
        [([3], U8), SCALE, ZERO, ([2, 3], U8), SCALE, ZERO, SCALE, ZERO],
        {},
    ),
    "QLinearWhere": (
        "QLinearWhere",
        [([2, 1], "bool"), ([2, 3], U8), SCALE, ZERO, ([3], U8), SCALE, ZERO, SCALE, ZERO],
        {},
    ),
    "QLinearSigmoid": ("QLinearSigmoid", [([2, 3], U8), SCALE, ZERO, SCALE, ZERO], {}),
    "QLinearLeakyRelu": ("QLinearLeakyRelu", [([2, 3], U8), SCALE, ZERO, SCALE, ZERO], {}),
    "QLinearSoftmax": (
        "QLinearSoftmax",
        [([2, 3], U8), SCALE, ZERO, SCALE, ZERO],
        {"opset": 13, "axis": -1},
    ),
    "QLinearConcat": (
        "QLinearConcat",
        [SCALE, ZERO, ([2, 3], U8), SCALE, ZERO, ([2, 4], U8), SCALE, ZERO],
        {"axis": 1},
    ),
    "GatherBlockQuantized": (
        "GatherBlockQuantized",
        [([9, 16], U8), ([2, 3], I64), [9, 2]],
        {"block_size": 16, "bits": 4, "quantize_axis": 1, "gather_axis": 0},
    ),
    "CDist": ("CDist", [[4, 6], [5, 6]], {"metric": "euclidean"}),
    "MoE": (
        "MoE",
        [[6, 8], [6, 4], [4, 16, 8], None, [4, 8, 16]],
        {"k": 2, "activation_type": "relu"},
    ),
    "Trilu": ("Trilu", [[3, 4]], {}),
}

#: whole numbers that are no indices into the two rows that there are
NUMBERS = {("GroupQueryAttention", 5): 4, ("GroupQueryAttention", 6): 5}


def as_onnx_gives_it(operator: str, inputs: list[Tensor], attributes: dict[str, Any]) -> list[Any]:
    """The node, run alone by ONNX Runtime: all that it can give out."""
    tensors = [tensor(item) for item in inputs]
    names = [f"i{place}" if item else "" for place, item in enumerate(tensors)]
    values = {
        names[place]: np.full(item.shape, NUMBERS.get((operator, place), 1), item.dtype)
        for place, item in enumerate(tensors)
        if item
    }
    schema = output_shapes(raw_of(operator, inputs, attributes)) or ()
    made = onnx.helper.make_node(
        operator,
        names,
        [f"o{place}" for place in range(len(schema))],
        domain="com.microsoft",
        **{key: list(of) if isinstance(of, tuple) else of for key, of in attributes.items()},
    )
    graph = onnx.helper.make_graph(
        [made],
        "one node",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in values.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(name) for name in made.output],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", 17),
            onnx.helper.make_opsetid("com.microsoft", 1),
        ],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results: list[Any] = session.run(None, values)
    return results


def raw_of(operator: str, inputs: list[Tensor], attributes: dict[str, Any]) -> RawCall:
    return node(f"com.microsoft::{operator}", inputs, [], **attributes)


@pytest.mark.parametrize("name", NODES)
def test_a_shape_is_what_onnx_runtime_gives(name: str) -> None:
    operator, inputs, attributes = NODES[name]
    inferred = output_shapes(raw_of(operator, inputs, attributes))
    assert inferred is not None
    given = as_onnx_gives_it(operator, inputs, attributes)
    assert [(item.shape, item.dtype) for item in inferred] == [
        (value.shape, value.dtype.name) for value in given
    ]


@pytest.mark.parametrize(
    ("raw", "shapes"),
    [
        (
            node("com.microsoft::MultiHeadAttention", [[2, 5, 3, 3, 4]], [], num_heads=3),
            [(2, 5, 12), (2, 3, 5, 4), (2, 3, 5, 4)],
        ),
        (
            node("com.microsoft::PackedAttention", [[10, 12], [12, 36], [36]], [], num_heads=3),
            [(10, 12)],
        ),
        (
            node("com.microsoft::NhwcFusedConv", [[1, 8, 8, 3], [4, 3, 3, 3]], []),
            [(1, 6, 6, 4)],
        ),
        (
            node("com.microsoft.nchwc::ReorderOutput", [[1, 16, 6, 6]], [], channels=12),
            [(1, 12, 6, 6)],
        ),
        (
            node(
                "com.ms.internal.nhwc::MaxPool",
                [[1, 8, 8, 3]],
                [],
                kernel_shape=(2, 2),
                strides=(2, 2),
            ),
            [(1, 4, 4, 3)],
        ),
        (node("com.microsoft::BiasSplitGelu", [[2, 5, 16], [16]], []), [(2, 5, 8)]),
        (node("com.microsoft::Rfft", [[3, 16]], [], onesided=1, signal_ndim=1), [(3, 9, 2)]),
        (node("com.microsoft::Irfft", [[3, 9, 2]], [], onesided=1, signal_ndim=1), [(3, 16)]),
    ],
)
def test_a_shape_of_what_runs_elsewhere_or_never_alone(
    raw: RawCall, shapes: list[tuple[int, ...]]
) -> None:
    assert [item.shape for item in output_shapes(raw) or ()] == shapes


def test_a_shape_that_is_not_known_is_none() -> None:
    assert output_shapes(node("com.microsoft::Unheard", [[2, 3]], [])) is None
    assert output_shapes(node("Relu", [[2, 3]], [])) is None  # ONNX's own inference knows it
    assert output_shapes(node("com.microsoft::BiasGelu", [], [])) is None
    assert output_shapes(node("com.microsoft::FusedMatMul", [[2, 3], [4, 5]], [])) is None


def test_a_shape_keeps_the_device() -> None:
    raw = RawCall("com.microsoft::Gelu", {"inputs": (TensorArg((2,), "float16", "cuda"),)})
    assert output_shapes(raw) == (TensorArg((2,), "float16", "cuda"),)
