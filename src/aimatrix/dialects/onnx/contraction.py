"""Products of several tensors as ONNX spells them: equations as torch has them, and experts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix.dialects.aten import contraction as aten
from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation


def _einsum(name: str, arguments: Arguments) -> Translation:
    spelled = {"equation": arguments["equation"], "tensors": arguments["inputs"]}
    return aten.RULES["einsum"].translate(name, spelled)


def _distances(_: str, arguments: Arguments) -> Translation:
    """Euclidean, or their squares, between all rows of one tensor and all of another."""
    first, second = arguments["inputs"]
    return aten.RULES["cdist"].translate("cdist", {"x1": first, "x2": second, "p": 2.0})


def _experts(*layers: int, bias: int) -> Callable[[str, Arguments], Translation]:
    """Linear layers of which each row goes through those of ``k`` experts.

    Weights (experts, outputs, inputs) are at these places, biases so far behind them. All are
    read, since which ones a row needs is data. Packed ones have fewer numbers a row.
    """

    def translation(_: str, arguments: Arguments) -> Translation:
        *outer, features = shape(arguments, 0)
        rows = prod(outer) * arguments.get("k", 1)
        first, second = shape(arguments, layers[0]), shape(arguments, layers[1])
        packed = features // first[2]
        hidden = second[2] * packed
        products = [(1, rows, first[1], features), (1, rows, features, hidden)]
        if operand(arguments, layers[2]):
            products.append((1, rows, hidden, features))
        weights = first[0] * sum(n * k for _, _, n, k in products)
        biases = [operand(arguments, layer + bias) for layer in layers]
        return "moe", {
            "products": products,
            "inputs": inputs(arguments),
            "outputs": outputs(arguments),
            "parameters": weights + sum(prod(added.shape) for added in biases if added),
        }

    return translation


RULES: dict[str, Rule] = {
    "Einsum": Rule("contraction", _einsum),
    "com.microsoft::CDist": Rule("contraction", _distances),
    "com.microsoft::MoE": Rule("contraction", _experts(2, 4, 6, bias=1)),
    "com.microsoft::QMoE": Rule("contraction", _experts(2, 5, 8, bias=2)),
}
