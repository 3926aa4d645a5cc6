"""Calls of every family that a benchmark lays out, for the tests of ops and of backends."""
# ruff: noqa: E501 (a call a line)

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimatrix.model.calls import OpCall


def call(family: str, kind: str, phase: str = "forward", **attributes: Any) -> OpCall:
    """A call of these attributes."""
    return OpCall.create(family, kind, attributes, phase=phase)


def convolution(kind: str, phase: str = "forward", **changes: Any) -> OpCall:
    rank = int(kind.removesuffix("_backward")[-2])
    attributes = {
        "batch": 2,
        "in_channels": 8,
        "out_channels": 12,
        "groups": 1,
        "bias": True,
        "input_size": (9,) * rank,
        "kernel_size": (3,) * rank,
        "stride": (2,) * rank,
        "padding": (1,) * rank,
        "dilation": (1,) * rank,
        "output_padding": (0,) * rank,
        **changes,
    }
    return call("convolution", kind, phase, **attributes)


GRADIENTS = {"input_gradient": True, "weight_gradient": True, "bias": False}
SDPA = {
    "batch": 2,
    "heads": 4,
    "kv_heads": 4,
    "query_len": 16,
    "key_len": 16,
    "head_dim": 8,
    "value_dim": 8,
    "causal": True,
    "mask": None,
}
LSTM = {
    "batch": 3,
    "steps": 5,
    "rows": 15,
    "input_size": 10,
    "hidden_size": 12,
    "proj_size": 0,
    "layers": 2,
    "bidirectional": True,
    "bias": True,
}
TABLE = {"rows": 50, "width": 16, "indices": 12, "outputs": 12, "weighted": False}
WINDOW = {
    "batch": 2,
    "channels": 6,
    "input_size": (9, 9),
    "kernel_size": (3, 3),
    "stride": (2, 2),
    "padding": (1, 1),
    "dilation": (1, 1),
    "ceil_mode": False,
}

#: name -> a call; each is run by the backends and costed by its family
CALLS: dict[str, OpCall] = {
    "conv1d": convolution("conv1d"),
    "conv2d": convolution("conv2d", bias=False),
    "conv3d": convolution("conv3d"),
    "conv2d grouped": convolution("conv2d", groups=4),
    "conv2d depthwise": convolution("conv2d", groups=8, out_channels=16),
    "conv2d transposed": convolution("conv_transpose2d", output_padding=(1, 1)),
    "conv2d backward": convolution("conv2d_backward", "backward", **GRADIENTS),
    "linear": call("matmul", "linear", batch=1, m=6, n=12, k=8, bias=True),
    "mm": call("matmul", "mm", batch=1, m=6, n=12, k=8, bias=False),
    "mm with bias": call("matmul", "mm", batch=1, m=6, n=12, k=8, bias=True),
    "bmm": call("matmul", "bmm", batch=3, m=6, n=12, k=8, bias=False),
    "sdpa": call("attention", "sdpa", **SDPA),
    "sdpa masked": call("attention", "sdpa", **{**SDPA, "mask": (2, 1, 16, 16), "causal": False}),
    "sdpa decoding": call("attention", "sdpa", **{**SDPA, "query_len": 1, "kv_heads": 2}),
    "sdpa backward": call("attention", "sdpa_backward", "backward", **SDPA),
    "lstm": call("recurrent", "lstm", **LSTM),
    "lstm projected": call("recurrent", "lstm", **{**LSTM, "proj_size": 6}),
    "gru": call("recurrent", "gru", **{**LSTM, "bidirectional": False}),
    "lstm_cell": call("recurrent", "lstm_cell", **{**LSTM, "steps": 1, "rows": 3, "layers": 1, "bidirectional": False}),
    "embedding": call("embedding", "embedding", **TABLE),
    "embedding_bag": call("embedding", "embedding_bag", **{**TABLE, "outputs": 4}),
    "embedding backward": call("embedding", "embedding_backward", "backward", **TABLE),
    "batch_norm": call("normalization", "batch_norm", input=(2, 6, 9, 9), parameters=24),
    "batch_norm training": call("normalization", "batch_norm", input=(2, 6, 9, 9), parameters=12),
    "batch_norm backward": call("normalization", "batch_norm_backward", "backward", input=(2, 6, 9, 9), parameters=18, gradients=12),
    "layer_norm": call("normalization", "layer_norm", input=(4, 5, 16), parameters=32),
    "layer_norm backward": call("normalization", "layer_norm_backward", "backward", input=(4, 5, 16), parameters=56, gradients=32),
    "group_norm": call("normalization", "group_norm", input=(2, 6, 9, 9), parameters=12),
    "rms_norm": call("normalization", "rms_norm", input=(4, 5, 16), parameters=16),
    "max_pool2d": call("pooling", "max_pool2d", **WINDOW),
    "adaptive_avg_pool2d": call("pooling", "adaptive_avg_pool2d", batch=2, channels=6, input_size=(9, 9), output_size=(1, 1)),
    "softmax": call("reduction", "softmax", input=(4, 5, 16), dims=(-1,), keepdim=False),
    "mean": call("reduction", "mean", input=(4, 5, 16), dims=(1, 2), keepdim=True),
    "norm": call("reduction", "linalg_vector_norm", input=(4, 5, 16), dims=(-1,), keepdim=True),
    "cumsum": call("reduction", "cumsum", input=(4, 16), dims=(1,), keepdim=False),
    "gelu": call("elementwise", "gelu", inputs=((4, 5, 16),)),
    "add": call("elementwise", "add", inputs=((4, 5, 16), (4, 5, 16))),
    "add broadcast": call("elementwise", "mul", inputs=((4, 5, 16), (16,))),
    "addcmul": call("elementwise", "addcmul", inputs=((4, 16), (4, 16), (4, 16))),
    "optimizer step": call("elementwise", "add", "optimizer", inputs=((4, 16), (8,), (4, 16), (8,)), outputs=((4, 16), (8,))),
    "not": replace(call("elementwise", "logical_not", inputs=((4, 16),)), dtype="bool"),
    "cat": call("movement", "cat", inputs=((4, 5, 16), (4, 3, 16)), dim=1),
    "stack": call("movement", "stack", inputs=((4, 16), (4, 16)), dim=0),
    "pad": call("movement", "pad", inputs=((2, 6, 9, 9),), pads=(1, 1, 0, 2)),
    "copy": call("movement", "copy", inputs=((4, 16),)),
    "fill": call("movement", "fill", inputs=((4, 16),)),
    "sort": call("sorting", "sort", inputs=((4, 16),), outputs=((4, 16),), indices=64),
    "topk": call("sorting", "topk", inputs=((4, 16),), outputs=((4, 3),), indices=12),
    "upsample": call("resampling", "upsample_bilinear2d", inputs=((2, 6, 9, 9),), outputs=((2, 6, 18, 18),), indices=0),
    "index_select": call("indexing", "index_select", inputs=((12, 16),), outputs=((12, 16),), indices=12),
    "index_add": call("indexing", "index_add", inputs=((12, 16), (12, 16)), outputs=((12, 16),), indices=12),
}  # fmt: skip
