"""Convolutions as ONNX spells them, quantised, transposed and with channels last too."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from aimatrix.dialects.onnx.window import channels_first, has_channels_last, per_side, window
from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _convolution(weight: int, bias: int) -> Callable[[str, Arguments], Translation]:
    """Of an operator with its weights and its bias at these places among its inputs."""

    def translation(name: str, arguments: Arguments) -> Translation:
        layer = _layer(name, arguments, weight, bias)
        slid = window(arguments, layer["input_size"], layer["kernel_size"])
        return f"conv{len(layer['input_size'])}d", {
            **layer,
            "input_size": slid.input_size,
            "stride": slid.stride,
            "padding": slid.padding,
            "dilation": slid.dilation,
            "output_padding": (0,) * len(slid.padding),
        }

    return translation


def _layer(name: str, arguments: Arguments, weight: int, bias: int) -> dict[str, Any]:
    batch, in_channels, *sides = channels_first(name, shape(arguments, 0), arguments)
    groups, filters = arguments.get("group", 1), shape(arguments, weight)
    return {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": filters[0],
        "groups": groups,
        "input_size": tuple(sides),
        "kernel_size": _kernel(name, arguments, filters, in_channels // groups),
        "bias": operand(arguments, bias) is not None,
    }


def _kernel(name: str, arguments: Arguments, filters: Shape, channels: int) -> Shape:
    """The filters' sides; where tensors have their channels last, filters may have them so too."""
    given = tuple(arguments.get("kernel_shape") or ())
    first, last = filters[2:], filters[1:-1]
    kernel = first
    if has_channels_last(name, arguments) and (filters[1] != channels or given == last != first):
        kernel = last
    if prod(kernel) * filters[0] * channels != prod(filters):
        raise ValueError(f"filters of shape {filters} for {channels} channels")
    return kernel


def _transposed(weight: int, bias: int) -> Callable[[str, Arguments], Translation]:
    """As `_convolution`; how much is padded is known by the size of what comes out."""

    def translation(name: str, arguments: Arguments) -> Translation:
        batch, in_channels, *sides = channels_first(name, shape(arguments, 0), arguments)
        filters, groups = shape(arguments, weight), arguments.get("group", 1)
        kernel, rank = filters[2:], len(sides)
        if filters[0] != in_channels:
            raise ValueError(f"filters of shape {filters} for {in_channels} channels")
        stride, dilation = (per_side(arguments, of, rank, 1) for of in ("strides", "dilations"))
        added = per_side(arguments, "output_padding", rank, 0)
        sizes = channels_first(name, outputs(arguments)[0], arguments)[2:]
        cut = [
            (side - 1) * s + d * (k - 1) + 1 + more - size
            for side, s, d, k, more, size in zip(
                sides, stride, dilation, kernel, added, sizes, strict=True
            )
        ]
        # what is cut off on one side more than on the other is given back by the padding
        padding = tuple(max(-(-of // 2), 0) for of in cut)
        return f"conv_transpose{rank}d", {
            "batch": batch,
            "in_channels": in_channels,
            "out_channels": filters[1] * groups,
            "groups": groups,
            "input_size": tuple(sides),
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "output_padding": tuple(
                more + 2 * both - of for more, both, of in zip(added, padding, cut, strict=True)
            ),
            "bias": operand(arguments, bias) is not None,
        }

    return translation


def _deformed(_: str, arguments: Arguments) -> Translation:
    """Each filter at places of its own: the products of a convolution, over what is sampled."""
    filters, groups = shape(arguments, 1), arguments.get("group", 1)
    (given,) = outputs(arguments)
    places = given[0] * prod(given[2:])
    bias = operand(arguments, 3)
    return "deform_conv", {
        "products": [(groups, places, filters[0] // groups, prod(filters[1:]))],
        "inputs": inputs(arguments),
        "outputs": [given],
        "parameters": prod(filters) + (prod(bias.shape) if bias else 0),
    }


def _causal(_: str, arguments: Arguments) -> Translation:
    """Each channel filtered along time, behind a state that is as long as the filter, less one."""
    if arguments.get("channels_last") or arguments.get("ndim", 1) != 1:
        raise ValueError("a causal filter along more than time")
    (batch, channels, steps), filters = shape(arguments, 0), shape(arguments, 1)
    dilation = arguments.get("dilation", 1)
    return "conv1d", {
        "batch": batch,
        "in_channels": channels,
        "out_channels": channels,
        "groups": channels,
        "input_size": (steps + dilation * (filters[-1] - 1),),
        "kernel_size": filters[2:],
        "stride": (1,),
        "padding": (0,),
        "dilation": (dilation,),
        "output_padding": (0,),
        "bias": operand(arguments, 2) is not None,
    }


_CONVOLUTION = Rule("convolution", _convolution(weight=1, bias=2))
_INTEGER = Rule("convolution", _convolution(weight=1, bias=4))  # no such input: it has no bias
_QUANTISED = Rule("convolution", _convolution(weight=3, bias=8))
_TRANSPOSED = Rule("convolution", _transposed(weight=1, bias=2))

RULES: dict[str, Rule] = {
    **same(_CONVOLUTION, "Conv com.microsoft::NhwcConv com.ms.internal.nhwc::Conv"),
    "com.microsoft.nchwc::Conv": _CONVOLUTION,
    "ConvInteger": _INTEGER,
    **same(_QUANTISED, "QLinearConv com.microsoft::QLinearConv com.ms.internal.nhwc::QLinearConv"),
    **same(_TRANSPOSED, "ConvTranspose com.ms.internal.nhwc::ConvTranspose"),
    "com.microsoft::ConvTransposeWithDynamicPads": Rule("convolution", _transposed(1, 3)),
    "com.ms.internal.nhwc::QLinearConvTranspose": Rule("convolution", _transposed(3, 8)),
    "DeformConv": Rule("contraction", _deformed),
    **same(Rule("convolution", _causal), "CausalConvWithState com.microsoft::CausalConvWithState"),
}
