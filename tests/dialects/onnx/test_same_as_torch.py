"""The same layer, run by torch and spelled by ONNX, is one and the same canonical call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from onnx_calls import node

from aimatrix.dialects import translate
from aimatrix.dialects.aten import ATTRIBUTES
from aimatrix.dialects.onnx.unfuse import unfuse
from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

# convolutions with uneven `same` padding warn of the copy that they make
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def f(*shape: int) -> Any:
    return torch.rand(shape)


def i(high: int, *shape: int) -> Any:
    return torch.randint(0, high, shape)


def by_torch(run: Callable[[], Any]) -> list[OpCall]:
    with torch.inference_mode():
        return [translate(raw) for raw in record_calls(run, ATTRIBUTES)]


#: name -> (what torch runs, ONNX's node of it)
LAYERS: dict[str, tuple[Callable[[], Any], RawCall]] = {
    "convolution": (
        lambda: F.conv2d(f(2, 4, 15, 16), f(6, 2, 3, 2), f(6), (2, 1), (1, 0), (1, 3), 2),
        node(
            "Conv",
            [[2, 4, 15, 16], [6, 2, 3, 2], [6]],
            [[2, 6, 8, 13]],
            strides=(2, 1),
            pads=(1, 0, 1, 0),
            dilations=(1, 3),
            group=2,
        ),
    ),
    "convolution of one dimension": (
        lambda: F.conv1d(f(2, 4, 15), f(6, 4, 3), None, 2, 1),
        node("Conv", [[2, 4, 15], [6, 4, 3]], [[2, 6, 8]], strides=(2,), pads=(1, 1)),
    ),
    "convolution of volumes": (
        lambda: F.conv3d(f(1, 2, 5, 6, 7), f(4, 2, 3, 3, 3), f(4)),
        node("Conv", [[1, 2, 5, 6, 7], [4, 2, 3, 3, 3], [4]], [[1, 4, 3, 4, 5]]),
    ),
    "depthwise convolution": (
        lambda: F.conv2d(f(1, 8, 9, 9), f(8, 1, 3, 3), f(8), padding=1, groups=8),
        node(
            "Conv",
            [[1, 8, 9, 9], [8, 1, 3, 3], [8]],
            [[1, 8, 9, 9]],
            pads=(1, 1, 1, 1),
            kernel_shape=(3, 3),
            group=8,
        ),
    ),
    "convolution padded to the same size, more behind": (
        lambda: F.conv2d(f(1, 3, 9, 8), f(4, 3, 4, 3), f(4), padding="same"),
        node(
            "Conv",
            [[1, 3, 9, 8], [4, 3, 4, 3], [4]],
            [[1, 4, 9, 8]],
            auto_pad="SAME_UPPER",
        ),
    ),
    "convolution padded to the same size, more before": (
        lambda: F.conv2d(f(1, 3, 9, 8), f(4, 3, 4, 3), f(4), padding="same"),
        node(
            "Conv",
            [[1, 3, 9, 8], [4, 3, 4, 3], [4]],
            [[1, 4, 9, 8]],
            auto_pad="SAME_LOWER",
        ),
    ),
    "convolution padded to the same size, in numbers": (
        lambda: F.conv2d(f(1, 3, 9, 8), f(4, 3, 4, 3), f(4), padding="same"),
        node(
            "Conv",
            [[1, 3, 9, 8], [4, 3, 4, 3], [4]],
            [[1, 4, 9, 8]],
            pads=(1, 1, 2, 1),
        ),
    ),
    "convolution without padding": (
        lambda: F.conv2d(f(1, 3, 9, 8), f(4, 3, 4, 3), None, padding="valid"),
        node("Conv", [[1, 3, 9, 8], [4, 3, 4, 3]], [[1, 4, 6, 6]], auto_pad="VALID"),
    ),
    "transposed convolution": (
        lambda: F.conv_transpose2d(f(1, 4, 5, 6), f(4, 3, 3, 2), f(6), (2, 3), (1, 0), (1, 2), 2),
        node(
            "ConvTranspose",
            [[1, 4, 5, 6], [4, 3, 3, 2], [6]],
            [[1, 6, 10, 19]],
            strides=(2, 3),
            pads=(1, 0, 1, 0),
            output_padding=(1, 2),
            group=2,
        ),
    ),
    "transposed convolution to a size": (
        lambda: F.conv_transpose1d(f(1, 4, 5), f(4, 3, 4), None, 2, 1),
        node(
            "ConvTranspose", [[1, 4, 5], [4, 3, 4]], [[1, 3, 10]], strides=(2,), output_shape=(10,)
        ),
    ),
    "linear": (
        lambda: F.linear(f(5, 8), f(6, 8), f(6)),
        node("Gemm", [[5, 8], [6, 8], [6]], [[5, 6]], transB=1),
    ),
    "linear without bias": (
        lambda: F.linear(f(5, 8), f(6, 8)),
        node("Gemm", [[5, 8], [6, 8]], [[5, 6]], transB=1),
    ),
    "added product": (
        lambda: torch.addmm(f(6), f(5, 8), f(8, 6)),
        node("Gemm", [[5, 8], [8, 6], [6]], [[5, 6]]),
    ),
    "product": (
        lambda: torch.matmul(f(2, 5, 8), f(8, 6)),
        node("MatMul", [[2, 5, 8], [8, 6]], [[2, 5, 6]]),
    ),
    "products": (
        lambda: torch.matmul(f(2, 1, 5, 8), f(3, 8, 6)),
        node("MatMul", [[2, 1, 5, 8], [3, 8, 6]], [[2, 3, 5, 6]]),
    ),
    "product with a vector": (
        lambda: torch.matmul(f(5, 8), f(8)),
        node("MatMul", [[5, 8], [8]], [[5]]),
    ),
    "equation": (
        lambda: torch.einsum("bhqd,bhkd->bhqk", f(2, 3, 4, 5), f(2, 3, 6, 5)),
        node("Einsum", [[2, 3, 4, 5], [2, 3, 6, 5]], [[2, 3, 4, 6]], equation="bhqd,bhkd->bhqk"),
    ),
    "maximum pooling": (
        lambda: F.max_pool2d(f(2, 3, 14, 13), (3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True),
        node(
            "MaxPool",
            [[2, 3, 14, 13]],
            [[2, 3, 8, 11]],
            kernel_shape=(3, 2),
            strides=(2, 1),
            pads=(1, 0, 1, 0),
            dilations=(1, 2),
            ceil_mode=1,
        ),
    ),
    "average pooling": (
        lambda: F.avg_pool1d(f(2, 3, 14), 3, 2, 1),
        node(
            "AveragePool", [[2, 3, 14]], [[2, 3, 7]], kernel_shape=(3,), strides=(2,), pads=(1, 1)
        ),
    ),
    "global average pooling": (
        lambda: F.adaptive_avg_pool2d(f(2, 3, 7, 6), 1),
        node("GlobalAveragePool", [[2, 3, 7, 6]], [[2, 3, 1, 1]]),
    ),
    "global maximum pooling": (
        lambda: F.adaptive_max_pool2d(f(2, 3, 7, 6), 1),
        node("GlobalMaxPool", [[2, 3, 7, 6]], [[2, 3, 1, 1]]),
    ),
    "batch normalization": (
        lambda: F.batch_norm(f(2, 3, 7, 6), f(3), f(3), f(3), f(3)),
        node("BatchNormalization", [[2, 3, 7, 6], [3], [3], [3], [3]], [[2, 3, 7, 6]]),
    ),
    "layer normalization": (
        lambda: F.layer_norm(f(2, 5, 8), (8,), f(8), f(8)),
        node("LayerNormalization", [[2, 5, 8], [8], [8]], [[2, 5, 8]], axis=-1),
    ),
    "group normalization": (
        lambda: F.group_norm(f(2, 6, 7, 7), 3, f(6), f(6)),
        node("GroupNormalization", [[2, 6, 7, 7], [6], [6]], [[2, 6, 7, 7]], num_groups=3),
    ),
    "instance normalization": (
        lambda: F.instance_norm(f(2, 6, 7, 7), weight=f(6), bias=f(6)),
        node("InstanceNormalization", [[2, 6, 7, 7], [6], [6]], [[2, 6, 7, 7]]),
    ),
    "root mean square normalization": (
        lambda: F.rms_norm(f(2, 5, 8), (8,), f(8)),
        node("RMSNormalization", [[2, 5, 8], [8]], [[2, 5, 8]]),
    ),
    "lstm": (
        lambda: nn.LSTM(5, 7)(f(4, 3, 5)),
        node(
            "LSTM",
            [[4, 3, 5], [1, 28, 5], [1, 28, 7], [1, 56]],
            [[4, 1, 3, 7], [1, 3, 7], [1, 3, 7]],
            hidden_size=7,
        ),
    ),
    "lstm in both directions": (
        lambda: nn.LSTM(5, 7, bidirectional=True, bias=False)(f(4, 3, 5)),
        node(
            "LSTM",
            [[4, 3, 5], [2, 28, 5], [2, 28, 7]],
            [[4, 2, 3, 7]],
            hidden_size=7,
            direction="bidirectional",
        ),
    ),
    "gru, batch first": (
        lambda: nn.GRU(5, 7, batch_first=True)(f(3, 4, 5)),
        node("GRU", [[3, 4, 5], [1, 21, 5], [1, 21, 7], [1, 42]], [[3, 4, 1, 7]], layout=1),
    ),
    "gru in both directions": (
        lambda: nn.GRU(5, 7, bidirectional=True)(f(4, 3, 5)),
        node(
            "GRU",
            [[4, 3, 5], [2, 21, 5], [2, 21, 7], [2, 42]],
            [[4, 2, 3, 7]],
            direction="bidirectional",
        ),
    ),
    "plain layer": (
        lambda: nn.RNN(5, 7)(f(4, 3, 5)),
        node("RNN", [[4, 3, 5], [1, 7, 5], [1, 7, 7], [1, 14]], [[4, 1, 3, 7]]),
    ),
    "plain layer, rectified": (
        lambda: nn.RNN(5, 7, nonlinearity="relu")(f(4, 3, 5)),
        node(
            "RNN",
            [[4, 3, 5], [1, 7, 5], [1, 7, 7], [1, 14]],
            [[4, 1, 3, 7]],
            activations=("Relu",),
        ),
    ),
    "attention": (
        lambda: F.scaled_dot_product_attention(f(2, 4, 5, 8), f(2, 4, 6, 8), f(2, 4, 6, 3)),
        node("Attention", [[2, 4, 5, 8], [2, 4, 6, 8], [2, 4, 6, 3]], [[2, 4, 5, 3]]),
    ),
    "attention with a mask": (
        lambda: F.scaled_dot_product_attention(
            f(2, 4, 5, 8), f(2, 4, 6, 8), f(2, 4, 6, 8), f(5, 6)
        ),
        node("Attention", [[2, 4, 5, 8], [2, 4, 6, 8], [2, 4, 6, 8], [5, 6]], [[2, 4, 5, 8]]),
    ),
    "causal attention of grouped queries": (
        lambda: F.scaled_dot_product_attention(
            f(2, 4, 5, 8), f(2, 2, 5, 8), f(2, 2, 5, 8), is_causal=True, enable_gqa=True
        ),
        node(
            "Attention",
            [[2, 5, 32], [2, 5, 16], [2, 5, 16]],
            [[2, 5, 32]],
            q_num_heads=4,
            kv_num_heads=2,
            is_causal=1,
        ),
    ),
    "softmax": (
        lambda: F.softmax(f(2, 3, 4), -1),
        node("Softmax", [[2, 3, 4]], [[2, 3, 4]]),
    ),
    "logarithm of softmax": (
        lambda: F.log_softmax(f(2, 3, 4), 1),
        node("LogSoftmax", [[2, 3, 4]], [[2, 3, 4]], axis=1),
    ),
    "mean": (
        lambda: f(2, 3, 4).mean((1, 2)),
        node("ReduceMean", [[2, 3, 4], ([2], "int64")], [[2]], axes=(1, 2), keepdims=0),
    ),
    "sum, axis kept": (
        lambda: f(2, 3, 4).sum(1, keepdim=True),
        node("ReduceSum", [[2, 3, 4], ([1], "int64")], [[2, 1, 4]], axes=(1,)),
    ),
    "maximum": (
        lambda: f(2, 3, 4).amax((-1,)),
        node("ReduceMax", [[2, 3, 4]], [[2, 3]], axes=(-1,), keepdims=0),
    ),
    "place of the maximum": (
        lambda: f(2, 3).argmax(1),
        node("ArgMax", [[2, 3]], [([2], "int64")], axis=1, keepdims=0),
    ),
    "running sum": (
        lambda: f(2, 3).cumsum(1),
        node("CumSum", [[2, 3], ([], "int64")], [[2, 3]], axis=(1,)),
    ),
    "rectified": (lambda: f(2, 3).relu(), node("Relu", [[2, 3]], [[2, 3]])),
    "gelu": (lambda: F.gelu(f(2, 3)), node("Gelu", [[2, 3]], [[2, 3]])),
    "slope of each channel": (
        lambda: F.prelu(f(2, 3), f(3)),
        node("PRelu", [[2, 3], [3]], [[2, 3]]),
    ),
    "sum of two that broadcast": (
        lambda: f(2, 3, 4) + f(3, 1),
        node("Add", [[2, 3, 4], [3, 1]], [[2, 3, 4]]),
    ),
    "choice": (
        lambda: torch.where(f(2, 3) > 0, f(2, 3).double(), f(1).double()),
        node("Where", [([2, 3], "bool"), ([2, 3], "float64"), ([1], "float64")], [[2, 3]]),
    ),
    "clamped": (
        lambda: f(2, 3).clamp(0, 6),
        node("Clip", [[2, 3], [], []], [[2, 3]]),
    ),
    "comparison": (
        lambda: f(2, 3) >= f(2, 3),
        node("GreaterOrEqual", [[2, 3], [2, 3]], [([2, 3], "bool")]),
    ),
    "rows by index": (
        lambda: f(9, 4).index_select(0, i(9, 5)),
        node("Gather", [[9, 4], ([5], "int64")], [[5, 4]], axis=0),
    ),
    "elements by index": (
        lambda: f(2, 3).gather(1, i(3, 2, 5)),
        node("GatherElements", [[2, 3], ([2, 5], "int64")], [[2, 5]], axis=1),
    ),
    "written by index": (
        lambda: f(4, 6).scatter(1, i(6, 4, 2), f(4, 2)),
        node("ScatterElements", [[4, 6], ([4, 2], "int64"), [4, 2]], [[4, 6]], axis=1),
    ),
    "added by index": (
        lambda: f(4, 6).scatter_add(1, i(6, 4, 2), f(4, 2)),
        node(
            "ScatterElements",
            [[4, 6], ([4, 2], "int64"), [4, 2]],
            [[4, 6]],
            axis=1,
            reduction="add",
        ),
    ),
    "largest": (
        lambda: f(4, 6).topk(3),
        node("TopK", [[4, 6], ([1], "int64")], [[4, 3], ([4, 3], "int64")]),
    ),
    "joined": (
        lambda: torch.cat([f(2, 3), f(2, 5)], 1),
        node("Concat", [[2, 3], [2, 5]], [[2, 8]], axis=1),
    ),
    "padded": (
        lambda: F.pad(f(1, 2, 5, 6), (1, 2, 3, 4)),
        node(
            "Pad",
            [[1, 2, 5, 6], ([8], "int64")],
            [[1, 2, 12, 9]],
            pads=(0, 0, 3, 1, 0, 0, 4, 2),
        ),
    ),
    "padded along some axes": (
        lambda: F.pad(f(1, 2, 5, 6), (1, 2)),
        node(
            "Pad",
            [[1, 2, 5, 6], ([2], "int64"), None, ([1], "int64")],
            [[1, 2, 5, 9]],
            pads=(1, 2),
            axes=(-1,),
        ),
    ),
    "tiled": (
        lambda: f(2, 3).repeat(2, 2),
        node("Tile", [[2, 3], ([2], "int64")], [[4, 6]]),
    ),
    "pixels shuffled": (
        lambda: F.pixel_shuffle(f(1, 8, 3, 3), 2),
        node("DepthToSpace", [[1, 8, 3, 3]], [[1, 2, 6, 6]], blocksize=2, mode="CRD"),
    ),
    "another shape": (
        lambda: f(2, 6).reshape(3, 4),
        node("Reshape", [[2, 6], ([2], "int64")], [[3, 4]]),
    ),
    "enlarged": (
        lambda: F.interpolate(f(1, 2, 5, 7), scale_factor=2),
        node("Resize", [[1, 2, 5, 7], None, [4]], [[1, 2, 10, 14]], mode="nearest"),
    ),
    "enlarged to a size": (
        lambda: F.interpolate(f(1, 2, 5), 8, mode="linear"),
        node("Resize", [[1, 2, 5], None, None, ([3], "int64")], [[1, 2, 8]], mode="linear"),
    ),
    "sampled": (
        lambda: F.grid_sample(f(2, 3, 4, 5), f(2, 6, 7, 2), align_corners=False),
        node("GridSample", [[2, 3, 4, 5], [2, 6, 7, 2]], [[2, 3, 6, 7]]),
    ),
    "grid": (
        lambda: F.affine_grid(f(2, 2, 3), [2, 3, 4, 5], align_corners=False),
        node("AffineGrid", [[2, 2, 3], ([4], "int64")], [[2, 4, 5, 2]]),
    ),
    "columns as patches": (
        lambda: F.fold(f(2, 12, 16), (8, 8), (2, 2), stride=2),
        node("Col2Im", [[2, 12, 16], ([2], "int64"), ([2], "int64")], [[2, 3, 8, 8]]),
    ),
    "cross entropy": (
        lambda: F.cross_entropy(f(4, 6), i(6, 4)),
        node("SoftmaxCrossEntropyLoss", [[4, 6], ([4], "int64")], [[]], reduction="mean"),
    ),
    "likelihood of each": (
        lambda: F.nll_loss(f(4, 6), i(6, 4), f(6), reduction="none"),
        node(
            "NegativeLogLikelihoodLoss",
            [[4, 6], ([4], "int64"), [6]],
            [[4]],
            reduction="none",
        ),
    ),
    "spectrum of real numbers": (
        lambda: torch.fft.rfft(f(3, 16)),
        node("DFT", [[3, 16, 1]], [[3, 9, 2]], onesided=1, axis=1),
    ),
    "distances": (
        lambda: torch.cdist(f(4, 6), f(5, 6)),
        node("com.microsoft::CDist", [[4, 6], [5, 6]], [[4, 5]], metric="euclidean"),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_same_call_in_both(name: str) -> None:
    run, raw = LAYERS[name]
    spelled = translate(raw)
    assert spelled.family != "unknown"
    assert spelled in by_torch(run)


#: nodes that ONNX Runtime has fused -> what torch runs of the same
FUSED: dict[str, tuple[Callable[[], Any], RawCall]] = {
    "convolution with what follows": (
        lambda: F.relu(F.conv2d(f(1, 3, 9, 9), f(4, 3, 3, 3), f(4), padding=1) + f(1, 4, 9, 9)),
        node(
            "com.microsoft::FusedConv",
            [[1, 3, 9, 9], [4, 3, 3, 3], [4], [1, 4, 9, 9]],
            [[1, 4, 9, 9]],
            pads=(1, 1, 1, 1),
            activation="Relu",
        ),
    ),
    "linear and its activation": (
        lambda: F.relu(F.linear(f(5, 8), f(6, 8), f(6))),
        node(
            "com.microsoft::FusedGemm",
            [[5, 8], [6, 8], [6]],
            [[5, 6]],
            transB=1,
            activation="Relu",
        ),
    ),
    "gelu of a sum": (
        lambda: F.gelu(f(2, 5, 8) + f(8)),
        node("com.microsoft::BiasGelu", [[2, 5, 8], [8]], [[2, 5, 8]]),
    ),
    "normalization of a sum": (
        lambda: F.layer_norm(f(2, 5, 8) + f(2, 5, 8), (8,), f(8), f(8)),
        node(
            "com.microsoft::SkipLayerNormalization",
            [[2, 5, 8], [2, 5, 8], [8], [8]],
            [[2, 5, 8]],
        ),
    ),
    "projections and attention": (
        lambda: attended(f(2, 5, 12)),
        node(
            "com.microsoft::Attention",
            [[2, 5, 12], [12, 36], [36]],
            [[2, 5, 12]],
            num_heads=3,
        ),
    ),
}


def attended(x: Any) -> Any:
    """Self-attention of three heads, as a BERT's, up to the last projection."""
    projected = torch.matmul(x, f(12, 36)) + f(36)
    heads = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in projected.split(12, -1))
    return F.scaled_dot_product_attention(*heads)


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_node_is_the_calls_that_it_stands_for(name: str) -> None:
    run, raw = FUSED[name]
    of_torch = [call for call in by_torch(run) if call.kind != "view"]
    of_torch = [call for call in of_torch if call.kind != "fill"]  # the arguments are made in it
    assert [translate(part) for part in unfuse(raw)] == of_torch
