"""Poolings as ONNX spells them, global, quantised and with channels last too."""

from __future__ import annotations

from collections.abc import Callable

from aimatrix import ops
from aimatrix.dialects.onnx.window import channels_first, window
from aimatrix.dialects.operands import outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation, same
from aimatrix.model.calls import OpCall


def _windowed(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(name: str, arguments: Arguments) -> Translation:
        batch, channels, *sides = channels_first(name, shape(arguments, 0), arguments)
        kernel = tuple(arguments["kernel_shape"])
        slid = window(arguments, tuple(sides), kernel)
        attributes = slid.pooling(batch, channels, kernel, arguments.get("ceil_mode"))
        spelled = f"{kind}{len(sides)}d"
        given = channels_first(name, outputs(arguments)[0], arguments)
        if ops.output_shape(OpCall.create("pooling", spelled, attributes)) == given:
            return spelled, attributes
        # versions of ONNX differ in whether a last window may hang over the end: by what came out
        return _adaptive(kind, batch, channels, sides, given[2:])

    return translation


def _global(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(name: str, arguments: Arguments) -> Translation:
        batch, channels, *sides = channels_first(name, shape(arguments, 0), arguments)
        return _adaptive(kind, batch, channels, sides, (1,) * len(sides))

    return translation


def _adaptive(
    kind: str, batch: int, channels: int, sides: list[int], sizes: tuple[int, ...]
) -> Translation:
    return f"adaptive_{kind}{len(sides)}d", {
        "batch": batch,
        "channels": channels,
        "input_size": tuple(sides),
        "output_size": sizes,
    }


# a pooling by a norm reads and writes as one by the mean
_MAXIMUM, _AVERAGE = (Rule("pooling", _windowed(kind)) for kind in ("max_pool", "avg_pool"))
_GLOBAL_MAXIMUM, _GLOBAL_AVERAGE = (
    Rule("pooling", _global(kind)) for kind in ("max_pool", "avg_pool")
)

RULES: dict[str, Rule] = {
    **same(_MAXIMUM, "MaxPool com.microsoft::NhwcMaxPool com.microsoft::MaxpoolWithMask"),
    **same(_MAXIMUM, "com.microsoft.nchwc::MaxPool com.ms.internal.nhwc::MaxPool"),
    **same(_AVERAGE, "AveragePool LpPool com.microsoft::QLinearAveragePool"),
    **same(_AVERAGE, "com.microsoft.nchwc::AveragePool com.ms.internal.nhwc::AveragePool"),
    **same(_AVERAGE, "com.ms.internal.nhwc::LpPool com.ms.internal.nhwc::QLinearAveragePool"),
    **same(_GLOBAL_MAXIMUM, "GlobalMaxPool com.microsoft.nchwc::GlobalMaxPool"),
    "com.ms.internal.nhwc::GlobalMaxPool": _GLOBAL_MAXIMUM,
    **same(_GLOBAL_AVERAGE, "GlobalAveragePool GlobalLpPool com.ms.internal.nhwc::GlobalLpPool"),
    **same(
        _GLOBAL_AVERAGE,
        "com.microsoft::QLinearGlobalAveragePool com.microsoft.nchwc::GlobalAveragePool"
        " com.ms.internal.nhwc::GlobalAveragePool",
    ),
}
