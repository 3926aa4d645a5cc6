"""Normalizations and their gradients as PyTorch spells them."""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects.aten.rule import Arguments, Rule, Translation, elements, quantised, same

_PARAMETERS = ("weight", "bias", "running_mean", "running_var", "mean", "var", "invstd")


def _forward(kind: str) -> Rule:
    def rule(_: str, arguments: Arguments) -> Translation:
        parameters = elements(arguments, *_PARAMETERS)
        return kind, {"input": arguments["input"].shape, "parameters": parameters}

    return Rule("normalization", rule, dtype_of="input")


def _backward(kind: str) -> Rule:
    return Rule("normalization", _gradients(kind), ("output_mask",), dtype_of="input")


def _gradients(kind: str) -> Callable[[str, Arguments], Translation]:
    def rule(_: str, arguments: Arguments) -> Translation:
        weight = elements(arguments, "weight")
        wanted = arguments.get("output_mask", (True, True, True))[1:]
        return f"{kind}_backward", {
            "input": arguments["input"].shape,
            "parameters": weight + elements(arguments, *_STATISTICS),
            "gradients": weight * sum(wanted),
        }

    return rule


#: what forward computed of the input, and backward reads
_STATISTICS = ("mean", "rstd", "save_mean", "save_invstd", "save_var", "invstd")

RULES: dict[str, Rule] = {
    **same(
        _forward("batch_norm"),
        "batch_norm native_batch_norm _native_batch_norm_legit _batch_norm_with_update"
        " _native_batch_norm_legit_no_training _batch_norm_no_update _batch_norm_impl_index"
        " cudnn_batch_norm miopen_batch_norm batch_norm_elemt",
    ),
    **same(_forward("layer_norm"), "layer_norm native_layer_norm"),
    **same(_forward("group_norm"), "group_norm native_group_norm"),
    "instance_norm": _forward("instance_norm"),
    **same(_forward("rms_norm"), "rms_norm _fused_rms_norm"),
    **same(
        quantised(_forward("batch_norm"), input="qx"),
        "quantized::batch_norm quantized::batch_norm_relu quantized::batch_norm1d"
        " quantized::batch_norm1d_relu quantized::batch_norm2d quantized::batch_norm2d_relu"
        " quantized::batch_norm3d quantized::batch_norm3d_relu",
    ),
    "quantized::layer_norm": _forward("layer_norm"),
    "quantized::group_norm": _forward("group_norm"),
    "quantized::instance_norm": _forward("instance_norm"),
    **same(
        _backward("batch_norm"),
        "native_batch_norm_backward batch_norm_backward cudnn_batch_norm_backward"
        " miopen_batch_norm_backward _batch_norm_impl_index_backward batch_norm_backward_elemt",
    ),
    "native_layer_norm_backward": _backward("layer_norm"),
    "native_group_norm_backward": _backward("group_norm"),
    "_fused_rms_norm_backward": _backward("rms_norm"),
}
