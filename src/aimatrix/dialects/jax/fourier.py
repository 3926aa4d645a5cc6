"""Fourier transforms as JAX spells them: along the last axes."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import operand, outputs
from aimatrix.dialects.rule import Arguments, Rule, Translation


def _transform(_: str, arguments: Arguments) -> Translation:
    taken, given = operand(arguments, 0), arguments["outputs"][0]
    if taken is None:
        raise ValueError("a transform of no tensor")
    points = arguments["fft_lengths"]
    from_complex, to_complex = (each.dtype.startswith("complex") for each in (taken, given))
    kind = "c2c" if from_complex and to_complex else "r2c" if to_complex else "c2r"
    real_side = given.shape if kind == "c2r" else taken.shape
    return kind, {
        "points": points,
        "transforms": prod(real_side[: len(real_side) - len(points)]),
        "input": taken.shape,
        "output": outputs(arguments)[0],
    }


RULES: dict[str, Rule] = {"fft": Rule("fourier", _transform)}
