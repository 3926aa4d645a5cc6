"""Products of several tensors as ONNX spells them: its equations are those of torch."""

from __future__ import annotations

from aimatrix.dialects.aten import contraction as aten
from aimatrix.dialects.rule import Arguments, Rule, Translation


def _einsum(name: str, arguments: Arguments) -> Translation:
    spelled = {"equation": arguments["equation"], "tensors": arguments["inputs"]}
    return aten.RULES["einsum"].translate(name, spelled)


RULES: dict[str, Rule] = {"Einsum": Rule("contraction", _einsum)}
