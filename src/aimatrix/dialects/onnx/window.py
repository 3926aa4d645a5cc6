"""Windows that slide over an input, of convolutions and poolings: what ONNX's attributes say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.rule import Arguments, Shape

#: domains and operators whose tensors have their channels last
_CHANNELS_LAST = ("com.ms.internal.nhwc::", "com.microsoft::Nhwc")


@dataclass(frozen=True, slots=True)
class Window:
    """Sides of the input, with what is padded on one side only; and what is padded on both."""

    input_size: Shape
    padding: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def pooling(self, batch: int, channels: int, kernel: Shape, ceil_mode: Any) -> dict[str, Any]:
        """The attributes of a pooling whose kernel slides so."""
        return {
            "batch": batch,
            "channels": channels,
            "input_size": self.input_size,
            "kernel_size": kernel,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": bool(ceil_mode),
        }


def channels_first(name: str, shape: Shape, arguments: Arguments) -> Shape:
    """(batch, channels, sides) of a tensor that may have its channels last."""
    return (shape[0], shape[-1], *shape[1:-1]) if has_channels_last(name, arguments) else shape


def has_channels_last(name: str, arguments: Arguments) -> bool:
    """Whether an operator's tensors are (batch, sides, channels), by its name or an attribute."""
    return name.startswith(_CHANNELS_LAST) or arguments.get("channels_last") == 1


def window(arguments: Arguments, sides: Shape, kernel: Shape) -> Window:
    """How a kernel slides over ``sides``. Raises ValueError for an ``auto_pad`` unheard of.

    Where more is padded on one side than on the other, the input is taken as padded first by
    what is more, as torch does for its ``same``.
    """
    stride = per_side(arguments, "strides", len(sides), 1)
    dilation = per_side(arguments, "dilations", len(sides), 1)
    pads = [
        _pads(arguments, side, of, place, len(sides))
        for place, (side, *of) in enumerate(zip(sides, kernel, stride, dilation, strict=True))
    ]
    padding = tuple(max(min(pair), 0) for pair in pads)
    padded = tuple(
        side + sum(pair) - 2 * both for side, pair, both in zip(sides, pads, padding, strict=True)
    )
    return Window(padded, padding, stride, dilation)


def per_side(arguments: Arguments, attribute: str, rank: int, default: int) -> tuple[int, ...]:
    """An attribute that has a number for each side, or is left out."""
    return tuple(arguments.get(attribute) or (default,) * rank)


def _pads(arguments: Arguments, side: int, of: list[int], place: int, rank: int) -> tuple[int, int]:
    """What is padded before one side and behind it."""
    kernel, stride, dilation = of
    how = arguments.get("auto_pad", "NOTSET")
    if how == "VALID":
        return 0, 0
    if how in ("SAME_UPPER", "SAME_LOWER"):
        outputs = -(-side // stride)
        total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
        less, more = total // 2, total - total // 2
        return (less, more) if how == "SAME_UPPER" else (more, less)
    if how not in ("NOTSET", ""):
        raise ValueError(f"auto_pad is {how!r}")
    pads = per_side(arguments, "pads", 2 * rank, 0)
    return pads[place], pads[place + rank]
