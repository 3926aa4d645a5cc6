"""Reductions and running sums as JAX spells them."""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects.operands import each_element, inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation


def _over(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        taken, axes = _shape_or_number(arguments), arguments["axes"]
        if not axes:  # over no axis: as over one behind, of one element
            return kind, {"input": (*taken, 1), "dims": (-1,), "keepdim": False}
        return kind, {"input": taken, "dims": axes, "keepdim": False}

    return translation


def _shape_or_number(arguments: Arguments) -> Shape:
    """Of what is reduced: Keras sums the weight of a batch, a literal number, over no axis."""
    taken = operand(arguments, 0)
    return () if taken is None else taken.shape


def _along(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        taken = shape(arguments, 0)
        return kind, {"input": taken, "dims": (arguments["axis"],), "keepdim": False}

    return translation


def _streamed(name: str, arguments: Arguments) -> Translation:
    """Running extremes (of which JAX gives no places), and reductions by a function of any kind."""
    return name, each_element(inputs(arguments), outputs(arguments))


#: primitive -> what PyTorch calls it
_REDUCTIONS = {
    "reduce_sum": "sum",
    "reduce_max": "amax",
    "reduce_min": "amin",
    "reduce_prod": "prod",
    "reduce_and": "all",
    "reduce_or": "any",
    "reduce_xor": "reduce_xor",
    "argmax": "argmax",
    "argmin": "argmin",
}
_RUNNING = {"cumsum": "cumsum", "cumprod": "cumprod", "cumlogsumexp": "logcumsumexp"}
_STREAMED = "cummax cummin reduce reduce_window select_and_gather_add select_and_scatter"

RULES: dict[str, Rule] = {
    **{name: Rule("reduction", _over(kind)) for name, kind in _REDUCTIONS.items()},
    **{name: Rule("reduction", _along(kind)) for name, kind in _RUNNING.items()},
    **dict.fromkeys(_STREAMED.split(), Rule("elementwise", _streamed)),
}
