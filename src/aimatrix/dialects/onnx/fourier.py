"""Fourier transforms as ONNX spells them: the last axis is the one or the two parts of a number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from aimatrix.dialects.operands import operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation


def _along_axis(_: str, arguments: Arguments) -> Translation:
    """``DFT``: along one axis, whose length is told where input and output do not tell it."""
    taken, given = shape(arguments, 0), outputs(arguments)[0]
    axis = _number(arguments.get("axis", -2)) % len(taken)
    length = arguments.get("dft_length")
    if length is not None:
        points = _number(length)
    elif given[-1] == 1:  # half of a spectrum, whose other half is its mirror image
        points = given[axis]
    else:
        points = taken[axis]
    others = prod(size for place, size in enumerate(given[:-1]) if place != axis)
    return _transform([points], others, taken, given)


def _short_time(_: str, arguments: Arguments) -> Translation:
    """``STFT``: (batch, frames, spectrum), each frame as long as the window, if there is one."""
    taken, given = shape(arguments, 0), outputs(arguments)[0]
    window = operand(arguments, 2)
    length = arguments.get("frame_length")
    if length is not None:
        points = _number(length)
    elif window is not None:
        points = window.shape[0]
    else:
        points = given[-2] if arguments.get("onesided", 1) == 0 else 2 * (given[-2] - 1)
    return _transform([points], given[0] * given[1], taken, given)


def _to_spectrum(_: str, arguments: Arguments) -> Translation:
    """``Rfft``: the last axes, of real numbers."""
    taken, given = shape(arguments, 0), outputs(arguments)[0]
    along = arguments.get("signal_ndim", 1)
    points = taken[len(taken) - along :]
    return _transform(points, prod(taken) // prod(points), (*taken, 1), given)


def _from_spectrum(_: str, arguments: Arguments) -> Translation:
    """``Irfft``: the last axes but that of the parts, to real numbers."""
    taken, given = shape(arguments, 0), outputs(arguments)[0]
    along = arguments.get("signal_ndim", 1)
    points = given[len(given) - along :]
    return _transform(points, prod(given) // prod(points), taken, (*given, 1))


def _transform(
    points: Sequence[int], transforms: int, taken: Shape, given: Shape
) -> tuple[str, dict[str, Any]]:
    """Of real numbers those of the real side; complex ones are two numbers of the dtype each."""
    attributes = {"points": points, "transforms": transforms, "input": taken, "output": given}
    if taken[-1] == 1 and given[-1] == 2:
        return "r2c", {**attributes, "input": taken[:-1], "output": given[:-1]}
    if taken[-1] == 2 and given[-1] == 1:
        # a number that comes out takes half of one of a complex dtype, but all of one of this
        return "c2r", {**attributes, "output": (*given[:-1], 2)}
    return "c2c", attributes


def _number(value: Any) -> int:
    """A number that may come as a list of one."""
    return int(value[0] if isinstance(value, (tuple, list)) else value)


RULES: dict[str, Rule] = {
    "DFT": Rule("fourier", _along_axis, ("dft_length", "axis")),
    "STFT": Rule("fourier", _short_time, ("frame_length",)),
    "com.microsoft::Rfft": Rule("fourier", _to_spectrum),
    "com.microsoft::Irfft": Rule("fourier", _from_spectrum),
}
