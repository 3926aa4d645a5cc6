"""PyTorch's operators (``aten::``) as canonical calls: a file per kind of work, a line in `RULES`.

`translate` never fails: what no rule knows, or what a rule cannot make sense of, is an `unknown`
call that keeps its name. Both what a dispatch mode sees (``aten::convolution``) and outermost
spellings (``aten::conv2d``) are here, of forward, backward and optimizers.
"""

from __future__ import annotations

from aimatrix import ops
from aimatrix.dialects.aten import (
    attention,
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
from aimatrix.dialects.aten.rule import Rule, tensors
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
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
}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an operator as PyTorch spells it."""
    base = _base_name(raw)
    rule = RULES.get(f"{base}.{raw.overload}") or RULES.get(base)
    signature = _signature(raw, rule)
    if rule is not None:
        try:
            kind, attributes = rule.translate(base, raw.arguments)
            call = OpCall.create(rule.family, kind, attributes, **signature)
            ops.cost(call)  # a call that has no cost is no call that we understand
            return call
        except _NO_SENSE:
            pass  # an odd spelling of a known operator: counted, under its own name
    return _unknown(raw, signature)


#: what a rule raises over arguments that it cannot make sense of
_NO_SENSE = (
    InputError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    ArithmeticError,
    StopIteration,
)


def _signature(raw: RawCall, rule: Rule | None) -> dict[str, str]:
    first = next(tensors(raw.arguments), None)
    if rule is not None and rule.dtype_of is not None:
        named = raw.arguments.get(rule.dtype_of)
        first = named if isinstance(named, TensorArg) else first
    return {
        "dtype": first.dtype if first else "float32",
        "phase": raw.phase,
        "device": first.device if first else "cpu",
    }


def _unknown(raw: RawCall, signature: dict[str, str]) -> OpCall:
    inputs = [tensor.shape for tensor in tensors(raw.arguments)]
    call = OpCall.create("unknown", raw.name, {"inputs": inputs}, **signature)
    try:
        ops.cost(call)
    except InputError:  # a dtype that we do not know: its bytes cannot be told
        call = OpCall.create("unknown", raw.name, {"inputs": []}, **{**signature, "dtype": "none"})
    return call


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
