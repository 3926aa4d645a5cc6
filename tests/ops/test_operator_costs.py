"""Costs of every family against figures computed by hand."""

from pathlib import Path

import pytest
from op_calls import (
    attention,
    convolution,
    matmul,
    movement,
    pooling,
    recurrent,
    reduction,
    streaming,
)

from aimatrix import ops
from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.registry import Registry, found_in
from aimatrix.ops.unknown import Unknown

# AlexNet's first layer, unpadded: (224 - 11) // 4 + 1 = 54
ALEXNET_1 = convolution(
    in_channels=3, out_channels=96, input_size=(224, 224), kernel_size=(11, 11), stride=(4, 4)
)
# VGG16's second layer
VGG_2 = convolution(
    in_channels=64, out_channels=64, input_size=(224, 224), kernel_size=(3, 3), padding=(1, 1)
)
# AlexNet's second layer as its paper has it: two groups, at 27 x 27
ALEXNET_2 = convolution(
    in_channels=96,
    out_channels=256,
    input_size=(27, 27),
    kernel_size=(5, 5),
    padding=(2, 2),
    groups=2,
    bias=False,
)
DEPTHWISE = convolution(
    batch=2,
    in_channels=32,
    out_channels=32,
    input_size=(14, 14),
    kernel_size=(3, 3),
    padding=(1, 1),
    groups=32,
    bias=False,
)
# DCGAN's kind of layer: (4 - 1) * 2 - 2 * 1 + (4 - 1) + 0 + 1 = 8
TRANSPOSED = convolution(
    in_channels=8,
    out_channels=6,
    input_size=(4, 4),
    kernel_size=(4, 4),
    stride=(2, 2),
    padding=(1, 1),
    transposed=True,
)
# Wavenet's kind of layer: (100 - 4 * (2 - 1) - 1) // 1 + 1 = 96
DILATED = convolution(
    in_channels=4, out_channels=5, input_size=(100,), kernel_size=(2,), dilation=(4,), bias=False
)
VOLUME = convolution(
    in_channels=2, out_channels=3, input_size=(4, 6, 8), kernel_size=(2, 3, 4), dtype="bfloat16"
)

# both gradients of VGG16's second layer, and its bias's
VGG_2_BACKWARD = OpCall.create(
    "convolution",
    "conv2d_backward",
    {**dict(VGG_2.attributes), "input_gradient": True, "weight_gradient": True},
)
SYSTEM = {"batch": 3, "m": 4, "n": 4, "rhs": 2}
LSTM = {"batch": 2, "steps": 3, "input_size": 5, "hidden_size": 7}
# four gates of 7, from 5 inputs and 7 states
LSTM_WEIGHTS = 4 * 7 * (5 + 7)
LSTM_STATES = 2 * (7 + 7)
# of the second layer in two directions: the states of both, which are projected to 3
PROJECTED_WEIGHTS = 2 * (4 * 7 * (5 + 3) + 7 * 3 + 4 * 7 * (6 + 3) + 7 * 3)
PROJECTED_STATES = 2 * 4 * (3 + 7)
ATTENTION = {"query_len": 1, "key_len": 1, "head_dim": 1, "value_dim": 1}
EMBEDDING = {"rows": 100, "width": 8, "indices": 6}

# Warps: blocks of 4096 outputs, 4 warps each, for implicit GEMM; of 128 outputs for one thread
# per output; of 512 for vectors.
CASES = [
    (
        OpCall.create("linear_algebra", "solve", SYSTEM),
        None,
        Cost(
            # elimination: at each step a reciprocal, 3 + 2 + 1 multipliers, 9 + 4 + 1 places;
            # two substitutions, of which one divides; two operations a multiply-add
            macs=3 * ((4 + 6 + 2 * 14) + 2 * (2 * 16 - 4)) // 2,
            bytes_read=4 * 3 * (16 + 8),
            bytes_written=4 * 3 * 8,
        ),
    ),
    (
        ALEXNET_1,
        (1, 96, 54, 54),
        Cost(
            macs=54 * 54 * 96 * 3 * 121,
            bytes_read=4 * (3 * 224 * 224 + 96 * 3 * 121 + 96),
            bytes_written=4 * 96 * 54 * 54,
            parameters=34_944,
            warps=4 * 69,  # 279,936 / 4096 = 68.3
        ),
    ),
    (
        VGG_2,
        (1, 64, 224, 224),
        Cost(
            macs=1_849_688_064,
            bytes_read=4 * (64 * 224 * 224 + 36_928),
            bytes_written=4 * 64 * 224 * 224,
            parameters=36_928,
            warps=4 * 784,
        ),
    ),
    (
        ALEXNET_2,
        (1, 256, 27, 27),
        Cost(
            macs=223_948_800,
            bytes_read=4 * (96 * 27 * 27 + 307_200),
            bytes_written=4 * 256 * 27 * 27,
            parameters=307_200,
            warps=2 * 4 * 23,  # each group: 128 * 729 / 4096 = 22.8
        ),
    ),
    (
        DEPTHWISE,
        (2, 32, 14, 14),
        Cost(
            macs=2 * 32 * 14 * 14 * 9,
            bytes_read=4 * (2 * 32 * 14 * 14 + 288),
            bytes_written=4 * 2 * 32 * 14 * 14,
            parameters=288,
            warps=4 * 98,
        ),
    ),
    (
        TRANSPOSED,
        (1, 6, 8, 8),
        Cost(
            macs=8 * 16 * 6 * 16,
            bytes_read=4 * (8 * 16 + 8 * 6 * 16 + 6),
            bytes_written=4 * 6 * 64,
            parameters=774,
            warps=4,
        ),
    ),
    (
        DILATED,
        (1, 5, 96),
        Cost(
            macs=96 * 5 * 4 * 2,
            bytes_read=4 * (400 + 40),
            bytes_written=4 * 480,
            parameters=40,
            warps=4,
        ),
    ),
    (
        VOLUME,
        (1, 3, 3, 4, 5),
        Cost(
            macs=180 * 2 * 24,
            bytes_read=2 * (384 + 147),
            bytes_written=2 * 180,
            parameters=147,
            warps=4,
        ),
    ),
    (
        matmul("linear", m=32, n=1000, k=4096, bias=True),
        (1, 32, 1000),
        Cost(
            macs=131_072_000,
            bytes_read=4 * (32 * 4096 + 4_097_000),
            bytes_written=4 * 32_000,
            parameters=4_097_000,
            warps=4 * 8,
        ),
    ),
    (
        matmul("bmm", m=128, n=128, k=64, batch=12),
        (12, 128, 128),
        Cost(
            macs=12 * 128 * 128 * 64,
            bytes_read=4 * 12 * 2 * 128 * 64,
            bytes_written=4 * 12 * 128 * 128,
            warps=12 * 4 * 4,
        ),
    ),
    (
        pooling("max_pool", channels=64, input_size=(112, 112), kernel_size=(3, 3), stride=(2, 2)),
        (1, 64, 55, 55),
        Cost(
            macs=0,
            bytes_read=4 * 64 * 112 * 112,
            bytes_written=4 * 64 * 55 * 55,
            warps=4 * 1513,  # 193,600 / 128 = 1512.5
        ),
    ),
    (
        pooling("adaptive_avg_pool", batch=2, channels=16, input_size=(7, 7), output_size=(1, 1)),
        (2, 16, 1, 1),
        Cost(macs=0, bytes_read=4 * 2 * 16 * 49, bytes_written=4 * 32, warps=4),
    ),
    (
        OpCall.create("normalization", "batch_norm", {"input": (2, 8, 4, 4), "parameters": 32}),
        (2, 8, 4, 4),
        Cost(macs=0, bytes_read=4 * (256 + 32), bytes_written=4 * 256, parameters=32, warps=4 * 2),
    ),
    (
        OpCall.create("elementwise", "add", {"inputs": ((8, 1, 64), (32, 1))}),
        (8, 32, 64),
        Cost(macs=0, bytes_read=4 * (512 + 32), bytes_written=4 * 16_384, warps=4 * 32),
    ),
    (
        reduction("mean", (8, 16, 7, 7), -1, -2),
        (8, 16),
        Cost(macs=0, bytes_read=4 * 8 * 16 * 49, bytes_written=4 * 128, warps=4),
    ),
    (
        reduction("softmax", (12, 128, 128), -1),
        (12, 128, 128),
        Cost(macs=0, bytes_read=4 * 196_608, bytes_written=4 * 196_608, warps=4 * 1536),
    ),
    (
        movement("cat", (1, 64, 28, 28), (1, 128, 28, 28), dim=1),
        (1, 192, 28, 28),
        Cost(macs=0, bytes_read=4 * 150_528, bytes_written=4 * 150_528, warps=4 * 294),
    ),
    (
        movement("pad", (1, 3, 4, 4), pads=(1, 2, 0, 1)),
        (1, 3, 5, 7),
        Cost(macs=0, bytes_read=4 * 48, bytes_written=4 * 105, warps=4),
    ),
    (
        movement("fill", (10, 10)),
        (10, 10),
        Cost(macs=0, bytes_read=0, bytes_written=400, warps=4),
    ),
    (
        movement("copy", (10, 10)),
        (10, 10),
        Cost(macs=0, bytes_read=400, bytes_written=400, warps=4),
    ),
    (movement("view", (10, 10)), None, Cost(macs=0, bytes_read=0, bytes_written=0, warps=0)),
    (
        VGG_2_BACKWARD,
        (1, 64, 224, 224),
        Cost(
            macs=2 * 1_849_688_064,
            bytes_read=4 * (2 * 64 * 224 * 224 + 36_864),
            bytes_written=4 * (64 * 224 * 224 + 36_864 + 64),
            parameters=36_864,
            warps=4 * (784 + 9),  # 64 * 64 * 9 / 4096 = 9 for the weights
        ),
    ),
    (
        OpCall.create(
            "convolution",
            "conv2d_backward",
            {**dict(DEPTHWISE.attributes), "input_gradient": True, "weight_gradient": False},
        ),
        (2, 32, 14, 14),
        Cost(
            macs=2 * 32 * 14 * 14 * 9,
            bytes_read=4 * (2 * 32 * 14 * 14 + 288),
            bytes_written=4 * 2 * 32 * 14 * 14,
            parameters=288,
            warps=4 * 98,
        ),
    ),
    (
        OpCall.create(
            "pooling",
            "max_pool2d_backward",
            dict(pooling("max_pool", input_size=(8, 8), kernel_size=(2, 2)).attributes),
        ),
        (1, 1, 8, 8),
        Cost(macs=0, bytes_read=16 * (4 + 8), bytes_written=4 * 64, warps=4),
    ),
    (
        OpCall.create(
            "normalization",
            "layer_norm_backward",
            {"input": (2, 3, 16), "parameters": 28, "gradients": 32},
        ),
        (2, 3, 16),
        Cost(
            macs=0,
            bytes_read=4 * (2 * 96 + 28),
            bytes_written=4 * (96 + 32),
            parameters=28,
            warps=4,
        ),
    ),
    (
        attention(
            "sdpa",
            batch=2,
            heads=8,
            kv_heads=2,
            query_len=200,
            key_len=300,
            head_dim=64,
            value_dim=32,
            mask=(200, 300),
        ),
        (2, 8, 200, 32),
        Cost(
            macs=2 * 8 * 200 * 300 * (64 + 32),
            bytes_read=4 * (2 * 8 * 200 * 64 + 2 * 2 * 300 * (64 + 32) + 200 * 300),
            bytes_written=4 * 2 * 8 * 200 * 32,
            warps=4 * 16 * 2,  # two blocks of 128 queries
        ),
    ),
    (
        attention(
            "sdpa_backward", heads=4, kv_heads=4, query_len=10, key_len=12, head_dim=8, value_dim=8
        ),
        (1, 4, 10, 8),
        Cost(
            macs=5 * 4 * 10 * 12 * 8,
            bytes_read=4 * (3 * 4 * 10 * 8 + 2 * 4 * 12 * 8),
            bytes_written=4 * (4 * 10 * 8 + 2 * 4 * 12 * 8),
            warps=8 * 4,
        ),
    ),
    (
        OpCall.create(
            "transformer_layer",
            "encoder_layer",
            {
                "batch": 2,
                "query_len": 3,
                "key_len": 3,
                "embed_dim": 8,
                "heads": 2,
                "feedforward": 16,
            },
        ),
        (2, 3, 8),
        Cost(
            # four projections, scores and their use, two linear layers
            macs=6 * (4 * 64 + 2 * 3 * 8 + 2 * 8 * 16),
            bytes_read=4 * (6 * 8 + 600),
            bytes_written=4 * 6 * 8,
            parameters=4 * 72 + (8 * 16 + 16) + (16 * 8 + 8) + 4 * 8,
            warps=4 * (4 + 4 + 2 + 2),
        ),
    ),
    (
        recurrent("lstm", **LSTM),
        (6, 7),
        Cost(
            macs=6 * LSTM_WEIGHTS,
            bytes_read=4 * (6 * 5 + LSTM_WEIGHTS + 2 * 28 + LSTM_STATES),
            bytes_written=4 * (6 * 7 + LSTM_STATES),
            parameters=LSTM_WEIGHTS + 2 * 28,
            warps=4 * (1 + 3 * 2),  # the inputs at once, then state and gates of each step
        ),
    ),
    (
        recurrent("lstm", **LSTM, layers=2, bidirectional=True, proj_size=3, bias=False),
        (6, 6),
        Cost(
            macs=6 * PROJECTED_WEIGHTS,
            bytes_read=4 * (6 * 5 + PROJECTED_WEIGHTS + PROJECTED_STATES),
            bytes_written=4 * (6 * 6 + PROJECTED_STATES),
            parameters=PROJECTED_WEIGHTS,
            warps=4 * 4 * (1 + 3 * 3),
        ),
    ),
    (
        recurrent("gru_cell", batch=2, input_size=5, hidden_size=7),
        (2, 7),
        Cost(
            macs=2 * 3 * 7 * 12,
            bytes_read=4 * (2 * 5 + 3 * 7 * 12 + 2 * 21 + 2 * 7),
            bytes_written=4 * 2 * 7,
            parameters=3 * 7 * 12 + 2 * 21,
            warps=4 * 3,
        ),
    ),
    (
        recurrent("rnn_tanh_backward", batch=2, steps=3, rows=5, input_size=5, hidden_size=7),
        (5, 7),
        Cost(
            macs=2 * 5 * 7 * 12,
            bytes_read=4 * (5 * 5 + 7 * 12 + 14 + 2 * 7 + 2 * 5 * 7),
            bytes_written=4 * (5 * 5 + 7 * 12 + 14 + 2 * 7),
            parameters=7 * 12 + 14,
            warps=2 * 4 * (1 + 3 * 2),
        ),
    ),
    (
        OpCall.create(
            "contraction",
            "chain_matmul",
            {
                "products": ((1, 10, 40, 30), (5, 64, 65, 2)),
                "inputs": ((10, 30), (30, 40)),
                "outputs": ((10, 40),),
                "parameters": 7,
            },
        ),
        (10, 40),
        Cost(
            macs=10 * 30 * 40 + 5 * 64 * 65 * 2,
            bytes_read=4 * 1500,
            bytes_written=4 * 400,
            parameters=7,
            warps=4 * (1 + 5 * 2),
        ),
    ),
    (
        OpCall.create("embedding", "embedding", {**EMBEDDING, "outputs": 6, "weighted": False}),
        (6, 8),
        Cost(
            macs=0,
            bytes_read=4 * 48 + 8 * 6,
            bytes_written=4 * 48,
            parameters=800,
            warps=4,
        ),
    ),
    (
        OpCall.create("embedding", "embedding_bag", {**EMBEDDING, "outputs": 2, "weighted": True}),
        (2, 8),
        Cost(
            macs=48,
            bytes_read=4 * (48 + 6) + 8 * 6,
            bytes_written=4 * 16,
            parameters=800,
            warps=4,
        ),
    ),
    (
        OpCall.create(
            "embedding", "embedding_backward", {**EMBEDDING, "outputs": 6, "weighted": False}
        ),
        (100, 8),
        Cost(
            macs=0,
            bytes_read=4 * 48 + 8 * 6,
            bytes_written=4 * 800,
            parameters=800,
            warps=4 * 2,
        ),
    ),
    (
        OpCall.create(
            "fourier",
            "c2c",
            {"points": (16, 4), "transforms": 3, "input": (3, 16, 4), "output": (3, 16, 4)},
            dtype="complex64",
        ),
        (3, 16, 4),
        Cost(
            macs=3 * 960,  # 5/2 * 64 * 6
            bytes_read=8 * 192,
            bytes_written=8 * 192,
            warps=4 * 2,
        ),
    ),
    (
        OpCall.create(
            "fourier", "r2c", {"points": (16,), "transforms": 2, "input": (2, 16), "output": (2, 9)}
        ),
        (2, 9),
        Cost(macs=2 * 80, bytes_read=4 * 32, bytes_written=8 * 18, warps=4),
    ),
    (
        OpCall.create(
            "elementwise",
            "_fused_adam",
            {"inputs": ((600,),) * 4, "outputs": ((600,),) * 3},
        ),
        None,
        Cost(macs=0, bytes_read=4 * 2400, bytes_written=4 * 1800, warps=4 * 4),
    ),
    (
        reduction("max", (2, 5), 1),
        (2,),
        Cost(macs=0, bytes_read=40, bytes_written=2 * (4 + 8), warps=4),
    ),
    (
        reduction("var_mean", (2, 5), 1),
        (2,),
        Cost(macs=0, bytes_read=40, bytes_written=2 * 2 * 4, warps=4),
    ),
    (
        streaming("loss", "cross_entropy_loss", ((32, 10),), ((),), 32),
        (),
        Cost(macs=0, bytes_read=4 * 320 + 8 * 32, bytes_written=4, warps=4 * 3),
    ),
    (
        streaming("sorting", "topk", ((2, 50),), ((2, 5),), 10),
        (2, 5),
        Cost(macs=0, bytes_read=4 * 100 + 8 * 10, bytes_written=4 * 10, warps=4),
    ),
    (
        streaming("resampling", "upsample_nearest2d", ((1, 3, 8, 8),), ((1, 3, 16, 16),)),
        (1, 3, 16, 16),
        Cost(macs=0, bytes_read=4 * 192, bytes_written=4 * 768, warps=4 * 6),
    ),
    (
        streaming("indexing", "nonzero", ((4, 4),), ()),
        None,
        Cost(macs=0, bytes_read=64, bytes_written=0, warps=4),
    ),
    (
        OpCall.create(
            "collective",
            "all_gather",
            {"inputs": ((6,),), "outputs": ((6,), (6,)), "group_size": 2},
        ),
        None,
        Cost(macs=0, bytes_read=24, bytes_written=48),
    ),
    (
        OpCall.create("unknown", "aten::erf", {"inputs": ((3, 5), (2,))}),
        None,
        Cost(macs=None, bytes_read=4 * 17, bytes_written=0, warps=None),
    ),
]


@pytest.mark.parametrize(
    ("call", "shape", "cost"), CASES, ids=lambda item: getattr(item, "kind", "")
)
def test_shape_and_cost(call: OpCall, shape: tuple[int, ...] | None, cost: Cost) -> None:
    assert ops.output_shape(call) == shape
    assert ops.cost(call) == cost


def test_traffic_is_bytes_read_and_written() -> None:
    assert Cost(macs=0, bytes_read=3, bytes_written=4).bytes == 7


def test_nothing_is_moved_where_there_are_no_elements() -> None:
    empty = ops.cost(OpCall.create("elementwise", "relu", {"inputs": ((0, 4),)}))
    assert (empty.bytes, empty.warps) == (0, 0)


def test_convolutions_and_poolings_are_grouped_by_the_geometric_mean_of_their_sides() -> None:
    oblong = convolution(in_channels=1, out_channels=1, input_size=(16, 64), kernel_size=(1, 1))
    assert ops.input_size(oblong) == pytest.approx(32)
    pooled = pooling("avg_pool", input_size=(4, 9), kernel_size=(2, 2))
    assert ops.input_size(pooled) == pytest.approx(6)
    assert ops.input_size(matmul("mm", 2, 2, 2)) is None


def test_every_family_is_in_the_cases() -> None:
    assert {call.family for call, _, _ in CASES} == set(ops.families())


BAD_VALUES = (None, -1, 1.5, "3", (1, -1), (1.5,))
#: axes may be counted from the end, and pads may cut
GOOD_ALL_THE_SAME = {("dims", (1, -1)), ("dim", -1), ("pads", (1, -1))}
GOOD_ALL_THE_SAME |= {("mask", None), ("group_size", None)}
#: (family, attribute) of those that may be left out
OPTIONAL = {("elementwise", "outputs")}


@pytest.mark.parametrize(
    ("call", "attribute", "bad"),
    [
        (call, attribute, bad)
        for call, _, _ in CASES
        for attribute, _ in call.attributes
        for bad in BAD_VALUES
        if (attribute, bad) not in GOOD_ALL_THE_SAME
    ],
)
def test_a_missing_or_bad_attribute_is_named(call: OpCall, attribute: str, bad: object) -> None:
    without = {name: value for name, value in call.attributes if name != attribute}
    missing = OpCall.create(call.family, call.kind, without)
    wrong = [call.replace(**{attribute: bad})]
    for broken in wrong if (call.family, attribute) in OPTIONAL else [missing, *wrong]:
        with pytest.raises(InputError, match=attribute):
            ops.cost(broken)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (ALEXNET_1.replace(stride=(4,)), "stride of another rank"),
        (ALEXNET_2.replace(groups=7), "groups do not divide"),
        (ALEXNET_1.replace(input_size=(10, 224)), "smaller than its kernel"),
        (ALEXNET_1.replace(groups=True), "groups"),
        (
            OpCall.create("convolution", "conv1d", dict(ALEXNET_1.attributes)),
            "no convolution of 2 dimensions",
        ),
        (
            pooling("max_pool", input_size=(8, 8), kernel_size=(2,), stride=(2, 2)),
            "kernel_size of another rank",
        ),
        (pooling("max_pool", input_size=(2, 8), kernel_size=(3, 3)), "smaller than its kernel"),
        (pooling("lp_pool", input_size=(8,), kernel_size=(2,)), "no pooling of 1 dimensions"),
        (pooling("adaptive_avg_pool", input_size=(8, 8), output_size=(1,)), "another rank"),
        (OpCall.create("elementwise", "add", {"inputs": ((2, 3), (4, 3))}), "do not broadcast"),
        (movement("cat", (2, 3), (2, 3, 4), dim=1), "cannot be joined"),
        (movement("cat", (2, 3), (2,), dim=1), "cannot be joined"),
        (movement("cat", (2, 3), (4, 5), dim=1), "cannot be joined"),
        (movement("cat", (2, 3), dim=2), "no axis 2"),
        (movement("stack", (2, 3), (3, 2), dim=0), "cannot be stacked"),
        (movement("stack", (2, 3), dim=3), "cannot be stacked"),
        (movement("copy"), "no inputs"),
        (movement("pad", (2, 3), pads=(-2, -2)), "pads that fit"),
        (movement("pad", (2,), pads=(1, 1, 1, 1)), "pads that fit"),
        (reduction("sum", (2, 3), 2), "no axes of its input"),
        (OpCall.create("matmul", "mm", {}, dtype="int3"), "lacks its attribute"),
        (OpCall.create("elementwise", "relu", {"inputs": ((1,),)}, dtype="int3"), "dtype 'int3'"),
        (attention("sdpa", heads=8, kv_heads=3, **ATTENTION), "kv_heads do not divide"),
        (
            OpCall.create(
                "collective", "gossip", {"inputs": (), "outputs": (), "group_size": None}
            ),
            "no collective",
        ),
        (attention("hard_attention", **ATTENTION), "no attention"),
        (recurrent("lstm", **LSTM, rows=7), "more rows"),
        (recurrent("elman", **LSTM), "no recurrent layer"),
        (
            OpCall.create("embedding", "hash", {**EMBEDDING, "outputs": 6, "weighted": False}),
            "no embedding",
        ),
        (
            OpCall.create(
                "fourier",
                "c2c",
                {"points": (2**40, 2**40), "transforms": 1, "input": (1,), "output": (1,)},
            ),
            "more points",
        ),
        (OpCall.create("astrology", "sign", {}), "unknown operator family 'astrology'"),
    ],
)
def test_what_makes_no_operator_is_refused_with_its_reason(call: OpCall, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ops.cost(call)


def test_a_family_cannot_be_registered_twice() -> None:
    with pytest.raises(ValueError, match="'unknown' is registered twice"):
        Registry(Unknown(), Unknown())


NEW_FAMILIES = """
from aimatrix.ops.family import Family
from aimatrix.ops.unknown import Unknown

class Base(Family):
    def _output_shape(self, call): return None
    def _cost(self, call, itemsize): return None

class Second(Base):
    name = "second"

class First(Base):
    name = "first"
"""


def test_families_are_found_in_the_files_that_define_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_operators"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "of_two.py").write_text(NEW_FAMILIES)
    (package / "a_helper.py").write_text("from some_operators.of_two import First")
    monkeypatch.syspath_prepend(tmp_path)
    found = [family.name for family in found_in("some_operators", [str(package)])]
    assert found == ["second", "first"]  # what a file only uses is not its own
