"""Convolutions and their gradients as PyTorch spells them, outermost and below autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, batched, per_side, same

_INPUTS = ("input", "self", "X", "qx")
_WEIGHTS = ("weight", "W", "qw")
_BIASES = ("bias", "B")


def _convolution(name: str, arguments: Arguments) -> Translation:
    weight = _first(arguments, _WEIGHTS).shape
    rank = len(weight) - 2
    batch, in_channels, sides = batched(_first(arguments, _INPUTS).shape, rank)
    groups = arguments.get("groups", 1)
    transposed = bool(arguments.get("transposed")) or "transpose" in name
    kernel, dilation = weight[2:], per_side(arguments.get("dilation"), rank, 1)
    padding = arguments.get("padding")
    if isinstance(padding, str):
        sides, padding = _named_padding(padding, sides, kernel, dilation)
    attributes = {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": weight[1] * groups if transposed else weight[0],
        "input_size": sides,
        "kernel_size": kernel,
        "stride": per_side(arguments.get("stride"), rank, 1),
        "padding": per_side(padding, rank, 0),
        "dilation": dilation,
        "output_padding": per_side(arguments.get("output_padding"), rank, 0),
        "groups": groups,
        "bias": any(arguments.get(bias) is not None for bias in _BIASES),
    }
    return f"conv_transpose{rank}d" if transposed else f"conv{rank}d", attributes


def _packed(name: str, arguments: Arguments) -> Translation:
    """``quantized::conv2d`` and its like: one object tells the weights and all else.

    Those in one dimension are packed as those in two, of which the first is 1.
    """
    packed = arguments.get("packed_weight") or arguments["weight"]
    weight, bias, stride, padding, output_padding, dilation, groups, transposed = packed
    rank = next(rank for rank in (1, 2, 3) if f"{rank}d" in name)
    shape = weight.shape
    return _convolution(
        name,
        {
            "input": arguments["qx"],
            "weight": replace(weight, shape=(*shape[:2], *shape[2:][-rank:])),
            "bias": bias,
            "stride": stride[-rank:],
            "padding": padding[-rank:],
            "output_padding": output_padding[-rank:],
            "dilation": dilation[-rank:],
            "groups": groups,
            "transposed": transposed,
        },
    )


def _gradients(name: str, arguments: Arguments) -> Translation:
    kind, attributes = _convolution(name, arguments)
    to_input, to_weights, to_bias = arguments["output_mask"]
    return f"{kind}_backward", {
        **attributes,
        "bias": to_bias,
        "input_gradient": to_input,
        "weight_gradient": to_weights,
    }


def _first(arguments: Arguments, names: tuple[str, ...]) -> Any:
    """The argument that the operators spell in one of these ways."""
    return next(arguments[name] for name in names if arguments.get(name) is not None)


def _named_padding(
    padding: str, sides: Shape, kernel: Shape, dilation: tuple[int, ...]
) -> tuple[Shape, tuple[int, ...]]:
    """``same`` and ``valid`` in numbers: (input size, padding).

    An odd total of ``same`` pads one element more at the end: torch pads the input first, and
    so do we.
    """
    if padding == "valid":
        return sides, (0,) * len(sides)
    if padding != "same":
        raise ValueError(f"a convolution knows no padding {padding!r}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    padded = tuple(side + total % 2 for side, total in zip(sides, totals, strict=True))
    return padded, tuple(total // 2 for total in totals)


_READS = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
_CONVOLUTION = Rule("convolution", _convolution, _READS)
_PACKED = Rule("convolution", _packed, ("packed_weight", "weight"))
_GRADIENTS = Rule("convolution", _gradients, (*_READS, "output_mask"))

RULES: dict[str, Rule] = {
    **same(_CONVOLUTION, "convolution _convolution _convolution_mode convolution_overrideable"),
    **same(_CONVOLUTION, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    **same(_CONVOLUTION, "mkldnn_convolution cudnn_convolution cudnn_convolution_transpose"),
    **same(_CONVOLUTION, "cudnn_convolution_relu cudnn_convolution_add_relu miopen_convolution"),
    **same(_CONVOLUTION, "mkldnn::_convolution_pointwise mkldnn::_convolution_pointwise_"),
    **same(_CONVOLUTION, "mkldnn::_convolution_transpose_pointwise onednn::qconv_pointwise"),
    **same(
        _CONVOLUTION,
        "onednn::qconv1d_pointwise onednn::qconv2d_pointwise onednn::qconv3d_pointwise",
    ),
    **same(_PACKED, "quantized::conv1d quantized::conv1d_relu quantized::conv1d_dynamic"),
    **same(_PACKED, "quantized::conv2d quantized::conv2d_relu quantized::conv2d_dynamic"),
    **same(_PACKED, "quantized::conv2d_add quantized::conv2d_add_relu"),
    **same(_PACKED, "quantized::conv3d quantized::conv3d_relu quantized::conv3d_dynamic"),
    **same(_PACKED, "quantized::conv_transpose1d quantized::conv_transpose1d_dynamic"),
    **same(_PACKED, "quantized::conv_transpose2d quantized::conv_transpose2d_dynamic"),
    **same(_PACKED, "quantized::conv_transpose3d quantized::conv_transpose3d_dynamic"),
    **same(_GRADIENTS, "convolution_backward convolution_backward_overrideable"),
}
