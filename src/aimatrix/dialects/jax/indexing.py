"""Reading and writing by index as JAX spells it.

What is written into is not counted: inside a jitted function XLA writes in place.
"""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import inputs, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _gathered(name: str, arguments: Arguments) -> Translation:
    chosen = outputs(arguments)[0]
    return name, _moved([chosen], chosen, sum(prod(index) for index in inputs(arguments)[1:]))


def _updated(_: str, arguments: Arguments) -> Translation:
    update, *indices = inputs(arguments)[1:]
    return "dynamic_update_slice", _moved([update], update, len(indices))


def _scattered(name: str, arguments: Arguments) -> Translation:
    """Of (what is written into, indices, updates); those that add read before they write."""
    indices = shape(arguments, 1)
    given = arguments["inputs"][2]
    update = _window(arguments) if given is None else given.shape
    source = [] if given is None else [update]
    adding = [] if name == "scatter" else [update]
    return name.replace("-", "_"), _moved([*source, *adding], update, prod(indices))


def _window(arguments: Arguments) -> Shape:
    """Where a number is written: as many places as there are rows of indices."""
    return shape(arguments, 1)[:-1]


def _moved(read: list[Shape], written: Shape, indices: int) -> dict[str, object]:
    return {"inputs": read, "outputs": [written], "indices": indices}


RULES: dict[str, Rule] = {
    **same(Rule("indexing", _gathered), "gather dynamic_slice"),
    "dynamic_update_slice": Rule("indexing", _updated, dtype_of="outputs"),
    **same(
        Rule("indexing", _scattered, dtype_of="outputs"),
        "scatter scatter-add scatter-sub scatter-mul scatter-min scatter-max",
    ),
}
