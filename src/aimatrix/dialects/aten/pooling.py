"""Poolings and their gradients as PyTorch spells them."""

from __future__ import annotations

from typing import Any

from aimatrix.dialects.aten.rule import (
    Arguments,
    Rule,
    Translation,
    batched,
    per_side,
    quantised,
    same,
)


def _pooling(name: str, arguments: Arguments) -> Translation:
    backward = "_backward" if name.endswith("_backward") else ""
    kind = name.removesuffix("_backward").removesuffix("_with_indices")
    kind = kind.removeprefix("_").removeprefix("mkldnn_").removeprefix("quantized_")
    rank = int(kind[-2])
    tensor = arguments.get("self") or arguments["input"]
    batch, channels, sides = batched(tensor.shape, rank)
    attributes: dict[str, Any] = {"batch": batch, "channels": channels, "input_size": sides}
    if kind.startswith("adaptive"):
        if backward:
            wanted = arguments["grad_output"].shape[-rank:]
        else:
            wanted = per_side(arguments["output_size"], rank, 1)
        sizes = tuple(w or s for w, s in zip(wanted, sides, strict=True))
        return kind + backward, {**attributes, "output_size": sizes}
    kernel = per_side(arguments["kernel_size"], rank, 1)
    return kind + backward, {
        **attributes,
        "kernel_size": kernel,
        "stride": per_side(arguments.get("stride") or kernel, rank, 1),
        "padding": per_side(arguments.get("padding"), rank, 0),
        "dilation": per_side(arguments.get("dilation"), rank, 1),
        "ceil_mode": bool(arguments.get("ceil_mode")),
    }


_POOLING = Rule(
    "pooling",
    _pooling,
    ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "output_size"),
)

RULES: dict[str, Rule] = {
    **same(_POOLING, "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d"),
    **same(_POOLING, "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices"),
    **same(_POOLING, "mkldnn_max_pool2d mkldnn_max_pool3d quantized_max_pool2d"),
    **same(quantised(_POOLING, input="qx"), "quantized::max_pool1d quantized::max_pool2d"),
    **same(_POOLING, "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"),
    **same(_POOLING, "_adaptive_avg_pool2d _adaptive_avg_pool3d mkldnn_adaptive_avg_pool2d"),
    **same(_POOLING, "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"),
    **same(_POOLING, "max_pool2d_with_indices_backward max_pool3d_with_indices_backward"),
    **same(_POOLING, "max_pool2d_backward mkldnn_max_pool2d_backward mkldnn_max_pool3d_backward"),
    **same(_POOLING, "avg_pool2d_backward avg_pool3d_backward"),
    **same(_POOLING, "_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward"),
    **same(_POOLING, "adaptive_max_pool2d_backward adaptive_max_pool3d_backward"),
    **same(_POOLING, "mkldnn_adaptive_avg_pool2d_backward"),
}
