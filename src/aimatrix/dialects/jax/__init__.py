"""JAX primitives as canonical calls: a file per kind of work, a line per primitive in `RULES`.

A call is named by its primitive (``jax::dot_general``); its ``inputs`` and ``outputs`` are those
of the equation, its other arguments the equation's parameters, as far as a rule reads them.
`translate` never fails: what no rule knows or can make sense of is an `unknown` call.
"""

from __future__ import annotations

from aimatrix.dialects.raw import RawCall
from aimatrix.dialects.rule import Rule, canonical
from aimatrix.model.calls import OpCall

#: primitive -> rule
RULES: dict[str, Rule] = {}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an equation of a jaxpr."""
    name = raw.name.removeprefix("jax::")
    return canonical(raw, name, RULES.get(name))
