"""Poolings and the gradient of a maximum as JAX spells them: windows over any axes of a tensor.

An average is a ``reduce_window_sum`` that is divided afterwards; its own gradient is one, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aimatrix.dialects.jax.window import one_sided_first
from aimatrix.dialects.operands import shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _windowed(kind: str, place: int = 0) -> Callable[[str, Arguments], Translation]:
    """Of an operator with what is pooled at this place among its inputs."""

    def translation(name: str, arguments: Arguments) -> Translation:
        taken = shape(arguments, place)
        ones = (1,) * len(taken)
        if arguments.get("base_dilation", ones) != ones:
            raise ValueError("a pooling has a dilated input")
        sides = _sides(arguments, taken)
        batch, channels = _others(taken, sides)
        padded, padding = one_sided_first(
            tuple(taken[axis] for axis in sides),
            tuple(arguments["padding"][axis] for axis in sides),
        )
        attributes: dict[str, Any] = {
            "batch": batch,
            "channels": channels,
            "input_size": padded,
            "padding": padding,
            "ceil_mode": False,
            "kernel_size": tuple(arguments["window_dimensions"][axis] for axis in sides),
            "stride": tuple(arguments["window_strides"][axis] for axis in sides),
            "dilation": tuple(arguments.get("window_dilation", ones)[axis] for axis in sides),
        }
        backward = "_backward" if "scatter" in name else ""
        return f"{kind}{len(sides)}d{backward}", attributes

    return translation


def _sides(arguments: Arguments, taken: Shape) -> range:
    """The axes of an image's sides: between batch and channels, or behind both."""
    moved = {
        axis
        for axis in range(len(taken))
        if (arguments["window_dimensions"][axis], arguments["window_strides"][axis]) != (1, 1)
        or tuple(arguments["padding"][axis]) != (0, 0)
    }
    for sides in (range(1, len(taken) - 1), range(2, len(taken))):
        if moved <= set(sides):
            return sides
    raise ValueError("a window goes over batch or channels, too")


def _others(taken: Shape, sides: range) -> tuple[int, int]:
    batch, channels = (size for axis, size in enumerate(taken) if axis not in sides)
    return batch, channels


_MAXIMUM = Rule("pooling", _windowed("max_pool"))

RULES: dict[str, Rule] = {
    **same(_MAXIMUM, "reduce_window_max reduce_window_min"),
    "reduce_window_sum": Rule("pooling", _windowed("avg_pool")),
    # of (gradient, input)
    "select_and_scatter_add": Rule("pooling", _windowed("max_pool", 1), dtype_of=1),
}
