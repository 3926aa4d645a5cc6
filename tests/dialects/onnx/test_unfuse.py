"""A fused node of ONNX Runtime counts as the plain ones that it stands for."""

from __future__ import annotations

from typing import Any

import pytest
from onnx_calls import node

from aimatrix import ops
from aimatrix.dialects.onnx import translate
from aimatrix.dialects.onnx.unfuse import fused, unfuse
from aimatrix.dialects.raw import RawCall

#: name -> (fused node, operators that it stands for, their multiply-adds)
NODES: dict[str, tuple[RawCall, str, int]] = {
    "no fused one": (node("Relu", [[2, 3]], [[2, 3]]), "Relu", 0),
    "attention without a past": (
        node("Attention", [[1, 2, 5, 8], [1, 2, 5, 8], [1, 2, 5, 8]], [[1, 2, 5, 8]]),
        "Attention",
        2 * 25 * 16,
    ),
    "attention with a past that it hands on": (
        node(
            "Attention",
            [[1, 1, 16], [1, 1, 16], [1, 1, 16], None, [1, 2, 6, 8], [1, 2, 6, 8]],
            [[1, 1, 16], [1, 2, 7, 8], [1, 2, 7, 8]],
            q_num_heads=2,
            kv_num_heads=2,
        ),
        "Concat Concat Attention",
        2 * 7 * 16,
    ),
    "causal filter and activation": (
        node(
            "CausalConvWithState",
            [[2, 6, 10], [6, 1, 4], [6], [2, 6, 3]],
            [[2, 6, 10]],
            activation="silu",
        ),
        "CausalConvWithState Swish",
        2 * 6 * 10 * 4,
    ),
    "convolution, sum and activation": (
        node(
            "com.microsoft::FusedConv",
            [[1, 3, 8, 8], [4, 3, 3, 3], [4], [1, 4, 6, 6]],
            [[1, 4, 6, 6]],
            activation="LeakyRelu",
            activation_params=(0.1,),
        ),
        "Conv Add LeakyRelu",
        4 * 36 * 27,
    ),
    "convolution without bias, but a sum": (
        node(
            "com.microsoft::FusedConv",
            [[1, 3, 8, 8], [4, 3, 3, 3], None, [1, 4, 6, 6]],
            [[1, 4, 6, 6]],
        ),
        "Conv Add",
        4 * 36 * 27,
    ),
    "convolution in blocks of channels": (
        node(
            "com.microsoft.nchwc::Conv",
            [[1, 8, 8, 8], [16, 8, 3, 3], [16]],
            [[1, 16, 6, 6]],
            activation="Relu",
        ),
        "Conv Relu",
        16 * 36 * 72,
    ),
    "convolution with channels last and its activation": (
        node(
            "com.ms.internal.nhwc::Conv",
            [[1, 8, 8, 3], [4, 3, 3, 3]],
            [[1, 6, 6, 4]],
            activation="Relu",
        ),
        "com.ms.internal.nhwc::Conv Relu",
        4 * 36 * 27,
    ),
    "linear layer and activation": (
        node(
            "com.microsoft::FusedGemm",
            [[2, 3], [3, 4], [4]],
            [[2, 4]],
            activation="Relu",
            activation_alpha=0.0,
        ),
        "Gemm Relu",
        24,
    ),
    "product of what lies the other way round": (
        node(
            "com.microsoft::FusedMatMul",
            [[5, 2, 3, 4], [5, 2, 6, 4]],
            [[5, 2, 3, 6]],
            transB=1,
            alpha=0.5,
        ),
        "MatMul Mul",
        10 * 3 * 4 * 6,
    ),
    "product of batches that lie the other way round": (
        node(
            "com.microsoft::FusedMatMul",
            [[3, 5, 2, 4], [5, 2, 4, 6]],
            [[5, 2, 3, 6]],
            transBatchA=1,
        ),
        "MatMul",
        10 * 3 * 4 * 6,
    ),
    "product quantised as it runs": (
        node(
            "com.microsoft::DynamicQuantizeMatMul",
            [[2, 5, 8], ([8, 6], "int8"), [], ([], "int8"), [6]],
            [[2, 5, 6]],
        ),
        "DynamicQuantizeLinear MatMulInteger Cast Mul Add",
        10 * 48,
    ),
    "product of whole numbers, scaled": (
        node(
            "com.microsoft::MatMulIntegerToFloat",
            [([5, 8], "uint8"), ([8, 6], "int8"), [], []],
            [[5, 6]],
        ),
        "MatMulInteger Cast Mul",
        240,
    ),
    "gelu of a sum, exact": (
        node("com.microsoft::BiasGelu", [[2, 8], [8]], [[2, 8]]),
        "Add Gelu",
        0,
    ),
    "convolution with channels last, sum and activation": (
        node(
            "com.microsoft::NhwcFusedConv",
            [[1, 8, 8, 3], [4, 3, 3, 3], [4], [1, 6, 6, 4]],
            [[1, 6, 6, 4]],
            activation="Relu",
        ),
        "com.microsoft::NhwcConv Add Relu",
        4 * 36 * 27,
    ),
    "gelu of a sum": (
        node("com.microsoft::FastGelu", [[2, 8], [8]], [[2, 8]]),
        "Add Gelu",
        0,
    ),
    "gelu alone": (node("com.microsoft::FastGelu", [[2, 8]], [[2, 8]]), "Gelu", 0),
    "normalization of a sum of three": (
        node(
            "com.microsoft::SkipLayerNormalization",
            [[2, 5, 8], [5, 8], [8], [8], [8]],
            [[2, 5, 8]],
            epsilon=1e-5,
        ),
        "Add Add LayerNormalization",
        0,
    ),
    "root mean square of a sum": (
        node(
            "com.microsoft::SkipSimplifiedLayerNormalization",
            [[2, 5, 8], [2, 5, 8], [8]],
            [[2, 5, 8], None, None, [2, 5, 8]],
        ),
        "Add RMSNormalization",
        0,
    ),
    "embeddings of a text": (
        node(
            "com.microsoft::EmbedLayerNormalization",
            [
                ([2, 5], "int32"),
                ([2, 5], "int32"),
                [99, 8],
                [50, 8],
                [2, 8],
                [8],
                [8],
                ([2, 5], "int32"),
            ],
            [[2, 5, 8], ([2], "int32")],
        ),
        "Gather Gather Add Gather Add LayerNormalization ReduceSum",
        0,
    ),
    "normalized groups of a sum": (
        node(
            "com.microsoft::SkipGroupNorm",
            [[1, 4, 4, 8], [8], [8], [1, 8], [8]],
            [[1, 4, 4, 8]],
            activation=1,
            groups=2,
        ),
        "Add Add GroupNormalization Swish",
        0,
    ),
    "attention of a text to itself": (
        node(
            "com.microsoft::Attention",
            [[2, 5, 12], [12, 36], [36], ([2, 5], "int32")],
            [[2, 5, 12]],
            num_heads=3,
        ),
        "MatMul Add Attention",
        10 * 12 * 36 + 2 * 3 * 5 * 5 * 8,
    ),
    "attention with a past": (
        node(
            "com.microsoft::Attention",
            [[2, 1, 12], [12, 36], [36], None, [2, 2, 3, 7, 4]],
            [[2, 1, 12], [2, 2, 3, 8, 4]],
            num_heads=3,
            unidirectional=1,
        ),
        "MatMul Add Concat Concat Attention",
        2 * 12 * 36 + 2 * 3 * 1 * 8 * 8,
    ),
    "attention in whole numbers": (
        node(
            "com.microsoft::QAttention",
            [([2, 5, 12], "uint8"), ([12, 36], "int8"), [36], [], []],
            [[2, 5, 12]],
            num_heads=3,
        ),
        "MatMulInteger Cast Mul Add Attention",
        10 * 12 * 36 + 2 * 3 * 5 * 5 * 8,
    ),
    "attention behind its projections": (
        node(
            "com.microsoft::MultiHeadAttention",
            [[2, 5, 12], [2, 7, 12], [2, 7, 6], [30]],
            [[2, 5, 6]],
            num_heads=3,
        ),
        "Add Add Add Attention",
        2 * 3 * 5 * 7 * (4 + 2),
    ),
    "attention to another text, projected before": (
        node(
            "com.microsoft::MultiHeadAttention",
            [[2, 5, 12], [2, 3, 7, 4], [2, 3, 7, 4]],
            [[2, 5, 12]],
            num_heads=3,
        ),
        "Attention",
        2 * 3 * 5 * 7 * 8,
    ),
    "attention of packed projections": (
        node(
            "com.microsoft::MultiHeadAttention",
            [[2, 5, 3, 3, 4]],
            [[2, 5, 12]],
            num_heads=3,
        ),
        "Attention",
        2 * 3 * 5 * 5 * 8,
    ),
    "attention to packed keys and values": (
        node(
            "com.microsoft::MultiHeadAttention",
            [[2, 5, 12], [2, 7, 3, 2, 4]],
            [[2, 5, 12]],
            num_heads=3,
        ),
        "Attention",
        2 * 3 * 5 * 7 * 8,
    ),
    "attention of grouped queries, rotated": (
        node(
            "com.microsoft::GroupQueryAttention",
            [
                [1, 5, 32],
                [1, 5, 16],
                [1, 5, 16],
                None,
                None,
                ([1], "int32"),
                ([], "int32"),
                [99, 4],
                [99, 4],
            ],
            [[1, 5, 32], [1, 2, 5, 8], [1, 2, 5, 8]],
            num_heads=4,
            kv_num_heads=2,
            do_rotary=1,
        ),
        "com.microsoft::RotaryEmbedding com.microsoft::RotaryEmbedding Transpose Transpose"
        " Attention",
        4 * 5 * 5 * 16,
    ),
    "attention of grouped queries, packed, with a past": (
        node(
            "com.microsoft::GroupQueryAttention",
            [[1, 1, 64], None, None, [1, 2, 6, 8], [1, 2, 6, 8], ([1], "int32"), ([], "int32")],
            [[1, 1, 32], [1, 2, 7, 8], [1, 2, 7, 8]],
            num_heads=4,
            kv_num_heads=2,
        ),
        "Concat Concat Attention",
        4 * 1 * 7 * 16,
    ),
    "attention with a cache in one buffer": (
        node(
            "com.microsoft::GroupQueryAttention",
            [[1, 1, 32], [1, 1, 16], [1, 1, 16], [1, 2, 64, 8], [1, 2, 64, 8]],
            [[1, 1, 32], [1, 2, 64, 8], [1, 2, 64, 8]],
            num_heads=4,
            kv_num_heads=2,
        ),
        "TensorScatter TensorScatter Attention",
        4 * 1 * 64 * 16,
    ),
    "product, sum and gelu": (
        node("com.microsoft::GemmFastGelu", [[2, 5, 8], [8, 6], [6]], [[2, 5, 6]]),
        "MatMul Add Gelu",
        10 * 48,
    ),
    "product and activation": (
        node(
            "com.microsoft::FusedMatMulActivation",
            [[5, 8], [8, 6]],
            [[5, 6]],
            activation="Softmax",
            activation_axis=-1,
        ),
        "MatMul Softmax",
        240,
    ),
    "product by its former name": (
        node("com.microsoft::TransposeMatMul", [[8, 5], [8, 6]], [[5, 6]], transA=1),
        "MatMul",
        240,
    ),
    "sum of three": (
        node("com.microsoft::BiasAdd", [[2, 5, 8], [8], [2, 5, 8]], [[2, 5, 8]]),
        "Add Add",
        0,
    ),
    "softmax of a sum": (
        node("com.microsoft::BiasSoftmax", [[2, 5, 8], [8]], [[2, 5, 8]], axis=-1),
        "Add Softmax",
        0,
    ),
    "half times the gelu of the other": (
        node("com.microsoft::BiasSplitGelu", [[2, 5, 16], [16]], [[2, 5, 8]]),
        "Add Split Gelu Mul",
        0,
    ),
    "sum, of which nothing is dropped": (
        node("com.microsoft::BiasDropout", [[2, 8], [8], [2, 8]], [[2, 8], ([2, 8], "bool")]),
        "Add Add Dropout",
        0,
    ),
    "sum, of which nothing is dropped, in bits": (
        node("com.microsoft::BitmaskBiasDropout", [[2, 8], [8]], [[2, 8], ([1], "uint32")]),
        "Add Dropout",
        0,
    ),
    "nothing dropped": (
        node("com.microsoft::BitmaskDropout", [[2, 8]], [[2, 8], ([1], "uint32")]),
        "Dropout",
        0,
    ),
    "normalized groups": (
        node("com.microsoft::GroupNorm", [[1, 4, 4, 8], [8], [8]], [[1, 4, 4, 8]], groups=2),
        "GroupNormalization",
        0,
    ),
    "normalization with a gate": (
        node("com.microsoft::GatedRMSNorm", [[2, 8], [8], [2, 8]], [[2, 8]]),
        "RMSNormalization Swish Mul",
        0,
    ),
    "gated bias of positions": (
        node(
            "com.microsoft::GatedRelativePositionBias",
            [[2, 5, 12], [12], [1, 3, 5, 5], [4, 8], [8], [1, 3, 1, 1]],
            [[2, 3, 5, 5]],
            num_heads=3,
        ),
        "Add MatMul Add ReduceSum Sigmoid Mul Sub Mul Mul",
        2 * 3 * 5 * 4 * 8,
    ),
    "attention of one query to itself and a past": (
        node(
            "com.microsoft::DecoderMaskedSelfAttention",
            [[2, 1, 12], [12, 36], [36], None, [2, 2, 3, 7, 4]],
            [[2, 1, 12], [2, 2, 3, 8, 4]],
            num_heads=3,
        ),
        "MatMul Add Concat Concat Attention",
        2 * 12 * 36 + 2 * 3 * 8 * 8,
    ),
    "attention of one query, projected before": (
        node(
            "com.microsoft::DecoderMaskedMultiHeadAttention",
            [[2, 1, 12], [2, 1, 12], [2, 1, 12], None, None, [2, 3, 7, 4], [2, 3, 7, 4]],
            [[2, 1, 12], [2, 3, 8, 4], [2, 3, 8, 4]],
            num_heads=3,
        ),
        "Concat Concat Attention",
        2 * 3 * 8 * 8,
    ),
    "packed sequences of one length, projected before": (
        node(
            "com.microsoft::PackedMultiHeadAttention",
            [[10, 12], [10, 12], [10, 12], [36], ([2, 5], "int32"), ([3], "int32")],
            [[10, 12]],
            num_heads=3,
        ),
        "Add Add Add Attention",
        2 * 3 * 25 * 8,
    ),
    "packed sequences of one length": (
        node(
            "com.microsoft::PackedAttention",
            [[10, 12], [12, 36], [36], ([2, 5], "int32"), ([3], "int32")],
            [[10, 12]],
            num_heads=3,
        ),
        "MatMul Add Attention",
        10 * 12 * 36 + 2 * 3 * 5 * 5 * 8,
    ),
}


@pytest.mark.parametrize("name", NODES)
def test_a_fused_node_is_taken_apart(name: str) -> None:
    raw, operators, macs = NODES[name]
    parts = unfuse(raw)
    assert [part.name.removeprefix("onnx::") for part in parts] == operators.split()
    costs = [ops.cost(translate(part)) for part in parts]
    assert sum(cost.macs or 0 for cost in costs) == macs
    assert all(translate(part).family != "unknown" for part in parts)


def test_every_fused_operator_is_among_these() -> None:
    tried = {raw.name.removeprefix("onnx::") for raw, _, _ in NODES.values()}
    assert set(fused()) - tried == set()


def test_packed_sequences_of_different_lengths_attend_to_what_only_data_tell() -> None:
    raw = node(
        "com.microsoft::PackedAttention",
        [[7, 12], [12, 36], [36], ([2, 5], "int32"), ([3], "int32")],
        [[7, 12]],
        num_heads=3,
    )
    product, added, core = (translate(part) for part in unfuse(raw))
    assert ops.cost(product).macs == 7 * 12 * 36
    assert added.kind == "add"
    assert ops.cost(core).macs is None


def test_parts_keep_the_phase_device_and_dtype_of_the_whole() -> None:
    raw = node("com.microsoft::BiasGelu", [([2, 8], "float16"), ([8], "float16")], [[2, 8]])
    on_gpu: dict[str, Any] = {
        key: tuple(type(item)(item.shape, item.dtype, "cuda") for item in value)
        for key, value in raw.arguments.items()
    }
    parts = unfuse(RawCall(raw.name, on_gpu, phase="backward", dialect="onnx"))
    for part in parts:
        seen = translate(part)
        assert (seen.phase, seen.device, seen.dtype) == ("backward", "cuda", "float16")


def test_a_fused_node_that_makes_no_sense_is_left_whole_and_unknown() -> None:
    raw = node("com.microsoft::Attention", [[2, 5, 12]], [[2, 5, 12]], num_heads=3)
    assert unfuse(raw) == (raw,)
    assert translate(raw).family == "unknown"
