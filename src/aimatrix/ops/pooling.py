"""Pooling: maximum and average, fixed and adaptive, 1 to 3 dimensions; and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.dtypes import INDEX_BYTES
from aimatrix.ops.family import Family, is_count, is_counts, is_flag, is_sizes
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation

_KINDS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")


class Pooling(Family):
    """Kinds: max_pool, avg_pool, adaptive_max_pool, adaptive_avg_pool, with 1d, 2d or 3d behind,
    and then _backward.

    Attributes: batch, channels, input_size; output_size of adaptive ones; kernel_size, stride,
    padding, dilation and ceil_mode of the others. No multiply-adds. The gradient of a maximum
    reads the places where they were found, which are whole numbers of 8 bytes.
    """

    name = "pooling"
    formulas = (
        Formula(
            output=(
                "as a convolution; with ceil_mode rounded up, but for a last window that "
                "would start behind the input and its left padding"
            ),
            macs="0",
            read="N C in",
            written="N C out",
            source="torch.nn.MaxPool2d, torch.nn.AdaptiveAvgPool2d",
        ),
        Formula(
            of="_backward",
            output="as the input",
            macs="0",
            read="N C out, + 8 bytes each of a maximum",
            written="N C in",
            source="torch.nn.MaxPool2d, argument return_indices",
        ),
    )
    required = {"batch": is_count, "channels": is_count, "input_size": is_counts}
    _windowed = {
        "kernel_size": is_counts,
        "stride": is_counts,
        "padding": is_sizes,
        "dilation": is_counts,
        "ceil_mode": is_flag,
    }
    _adaptive = {"output_size": is_counts}

    def check(self, call: OpCall) -> None:
        """As `Family.check`; kind and ranks agree, the kind's attributes are there, outputs too."""
        super().check(call)
        rank = len(call["input_size"])
        if call.kind.removesuffix("_backward") not in {f"{kind}{rank}d" for kind in _KINDS}:
            raise InputError(f"{call.kind!r} is no pooling of {rank} dimensions")
        attributes = dict(call.attributes)
        more = self._adaptive if call.kind.startswith("adaptive") else self._windowed
        for name, accepts in more.items():
            if name not in attributes or not accepts(attributes[name]):
                raise InputError(f"a {call.kind} lacks a good attribute {name}")
            if name != "ceil_mode" and len(call[name]) != rank:
                raise InputError(f"a {call.kind} has {name} of another rank than input_size")
        if min(output_size(call)) < 1:
            raise InputError(f"a {call.kind} has an input smaller than its kernel")

    def input_size(self, call: OpCall) -> float:
        """The geometric mean of the input's sides."""
        sides = call["input_size"]
        return float(prod(sides) ** (1 / len(sides)))

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """The input; None for gradients of maxima, whose places only data tell."""
        inputs = activation(call["batch"], call["channels"], *call["input_size"])
        if not call.kind.endswith("_backward"):
            return (inputs,)
        if "max" in call.kind:
            return None
        return (activation(call["batch"], call["channels"], *output_size(call)), inputs)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(channels, batch)."""
        return (call["channels"], call["batch"])

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them."""
        return call.replace(channels=widths[0], batch=widths[1])

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """As `Family.fitted`; None of gradients."""
        if call.kind.endswith("_backward"):
            return None
        batch, channels, *size = shape
        return call.replace(batch=batch, channels=channels, input_size=tuple(size))

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        if call.kind.endswith("_backward"):
            return (call["batch"], call["channels"], *call["input_size"])
        return (call["batch"], call["channels"], *output_size(call))

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        inputs = call["batch"] * call["channels"] * prod(call["input_size"])
        outputs = call["batch"] * call["channels"] * prod(output_size(call))
        if call.kind.endswith("_backward"):
            index = INDEX_BYTES if "max" in call.kind else 0
            return Cost(
                macs=0,
                bytes_read=outputs * (itemsize + index),
                bytes_written=inputs * itemsize,
                warps=launch.scalar_warps(inputs),
            )
        return Cost(
            macs=0,
            bytes_read=inputs * itemsize,
            bytes_written=outputs * itemsize,
            warps=launch.scalar_warps(outputs),
        )


def output_size(call: OpCall) -> tuple[int, ...]:
    """Output size per spatial dimension (torch.nn.MaxPoolNd, "Shape"), also of a backward kind."""
    if call.kind.startswith("adaptive"):
        return tuple(call["output_size"])
    ceil_mode = call["ceil_mode"]
    return tuple(
        _size(*dimension, ceil_mode)
        for dimension in zip(
            call["input_size"],
            call["kernel_size"],
            call["stride"],
            call["padding"],
            call["dilation"],
            strict=True,
        )
    )


def _size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    output = -(-room // stride) + 1
    # A last window must start inside the input or the left padding.
    return output - 1 if (output - 1) * stride >= size + padding else output
