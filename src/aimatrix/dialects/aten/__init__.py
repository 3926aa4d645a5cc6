"""PyTorch's operators (``aten::``) as canonical calls: a file per kind of work, a line in `RULES`.

`translate` never fails: what no rule knows, or what a rule cannot make sense of, is an `unknown`
call that keeps its name. Both what a dispatch mode sees (``aten::convolution``) and outermost
spellings (``aten::conv2d``) are here, of forward, backward and optimizers.
"""

from __future__ import annotations

from aimatrix.dialects.aten import (
    attention,
    by_shapes,
    collective,
    contraction,
    convolution,
    elementwise,
    fourier,
    indexing,
    loss,
    matmul,
    movement,
    normalization,
    pooling,
    recurrent,
    reduction,
    resampling,
    transformer_layer,
)
from aimatrix.dialects.raw import RawCall
from aimatrix.dialects.rule import Rule, canonical
from aimatrix.model.calls import OpCall

#: operator -> rule. Operators of torch's own namespace are without it, in-place spellings without
#: their underscore; one with an overload (``max.other``) goes before one without.
RULES: dict[str, Rule] = {
    **convolution.RULES,
    **matmul.RULES,
    **contraction.RULES,
    **attention.RULES,
    **transformer_layer.RULES,
    **recurrent.RULES,
    **indexing.RULES,
    **fourier.RULES,
    **pooling.RULES,
    **normalization.RULES,
    **elementwise.RULES,
    **reduction.RULES,
    **loss.RULES,
    **resampling.RULES,
    **movement.RULES,
    **collective.RULES,
    **by_shapes.RULES,
}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an operator as PyTorch spells it."""
    base = _base_name(raw)
    return canonical(raw, base, RULES.get(f"{base}.{raw.overload}") or RULES.get(base))


def _base_name(raw: RawCall) -> str:
    """``aten::relu_`` and ``aten::relu`` are one operator."""
    name = raw.name.removeprefix("aten::")
    return name.rstrip("_") if not name.startswith("__") else name


def _attributes() -> dict[str, tuple[str, ...]]:
    kept: dict[str, tuple[str, ...]] = {}
    for name, rule in RULES.items():
        if rule.reads:
            operator = name if "::" in name else f"aten::{name}"
            operator = operator.split(".", 1)[0]
            for spelling in (operator, f"{operator}_"):
                kept[spelling] = tuple(dict.fromkeys((*kept.get(spelling, ()), *rule.reads)))
    return kept


#: operator name -> the arguments besides tensors that a capture has to keep for it
ATTRIBUTES: dict[str, tuple[str, ...]] = _attributes()
