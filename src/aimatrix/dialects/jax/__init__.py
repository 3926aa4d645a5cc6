"""JAX primitives as canonical calls: a file per kind of work, a line per primitive in `RULES`.

A call is named by its primitive (``jax::dot_general``); its ``inputs`` and ``outputs`` are those
of the equation (None for a literal number), its other arguments the equation's parameters, as far
as they are whole numbers. Kinds are PyTorch's where PyTorch has the operator. `translate` never
fails: what no rule knows or can make sense of is an `unknown` call.
"""

from __future__ import annotations

from aimatrix.dialects.jax import (
    attention,
    by_shapes,
    collective,
    convolution,
    elementwise,
    fourier,
    indexing,
    matmul,
    movement,
    pooling,
    reduction,
    sorting,
)
from aimatrix.dialects.raw import RawCall
from aimatrix.dialects.rule import Rule, canonical
from aimatrix.model.calls import OpCall

#: primitive -> rule
RULES: dict[str, Rule] = {
    **convolution.RULES,
    **matmul.RULES,
    **attention.RULES,
    **fourier.RULES,
    **pooling.RULES,
    **elementwise.RULES,
    **reduction.RULES,
    **sorting.RULES,
    **indexing.RULES,
    **movement.RULES,
    **collective.RULES,
    **by_shapes.RULES,
}

#: primitive -> rule of those that a backward pass made
GRADIENTS: dict[str, Rule] = {**convolution.GRADIENTS}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an equation of a jaxpr."""
    name = raw.name.removeprefix("jax::")
    return canonical(raw, name, _rule(name, raw))


def _rule(name: str, raw: RawCall) -> Rule | None:
    if raw.phase == "backward" and name in GRADIENTS:
        return GRADIENTS[name]
    if name == "pad" and movement.pads_between(raw.arguments):
        return movement.PAD_BETWEEN
    return RULES.get(name)
