"""Fast Fourier transforms, of complex and of real numbers."""

from __future__ import annotations

from math import log2, prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_counts, is_shape, is_size
from aimatrix.ops.formula import Formula

_MOST_POINTS = 2**63


class Fourier(Family):
    """Kinds: c2c, r2c (of real numbers), c2r (to real ones).

    Attributes: points (length of the transform along each of its axes, counted on the real side),
    transforms (how many of them), input and output (shapes). The dtype is that of the input.

    Multiply-adds follow the convention of FFTW's benchmarks: 5 N log2 N operations for N complex
    points and half of that for real ones, two operations each.
    """

    name = "fourier"
    formulas = (
        Formula(
            output="as given",
            macs="transforms x 2.5 P log2 P for P complex points; half of it for real ones",
            read="input",
            written="output",
            source=(
                "benchFFT's convention (Frigo and Johnson, fftw.org/speed): 5 P log2 P "
                "operations, two a multiply-add"
            ),
        ),
    )
    required = {
        "points": is_counts,
        "transforms": is_size,
        "input": is_shape,
        "output": is_shape,
    }

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that the kind is known."""
        super().check(call)
        if call.kind not in ("c2c", "r2c", "c2r"):
            raise InputError(f"{call.kind!r} is no Fourier transform")
        if prod(call["points"]) > _MOST_POINTS:
            raise InputError(f"a {call.kind} has more points than a tensor holds")

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return tuple(call["output"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        points, outputs = prod(call["points"]), prod(call["output"])
        each = (2.5 if call.kind == "c2c" else 1.25) * points * log2(points)
        # a complex number takes two real ones' room
        widened = {"c2c": itemsize, "r2c": 2 * itemsize, "c2r": itemsize // 2}[call.kind]
        return Cost(
            macs=call["transforms"] * round(each),
            bytes_read=prod(call["input"]) * itemsize,
            bytes_written=outputs * widened,
            warps=launch.scalar_warps(outputs),
        )
