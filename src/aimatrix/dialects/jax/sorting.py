"""Sorting and the largest elements as JAX spells them."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import inputs, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation, same


def _sorted(_: str, arguments: Arguments) -> Translation:
    """Several tensors, by the first of them: an argsort carries a row of numbers with it."""
    return "sort", {"inputs": inputs(arguments), "outputs": outputs(arguments), "indices": 0}


def _largest(_: str, arguments: Arguments) -> Translation:
    kept = outputs(arguments)[0]
    return "topk", {"inputs": [shape(arguments, 0)], "outputs": [kept], "indices": prod(kept)}


RULES: dict[str, Rule] = {
    "sort": Rule("sorting", _sorted),
    **same(Rule("sorting", _largest), "top_k approx_top_k"),
}
