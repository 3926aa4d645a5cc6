"""Attention as ONNX spells it: one operator of its own domain, which all others stand for."""

from __future__ import annotations

from aimatrix.dialects.operands import operand, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _attention(_: str, arguments: Arguments) -> Translation:
    """Queries, keys and values (batch, heads, length, features), or (batch, length, all of them).

    Keys and values of the past come before those of the call.
    """
    query = _four_axes(shape(arguments, 0), arguments, "q_num_heads")
    key = _four_axes(shape(arguments, 1), arguments, "kv_num_heads")
    value = _four_axes(shape(arguments, 2), arguments, "kv_num_heads")
    if key[:3] != value[:3] or query[3] != key[3] or query[0] != key[0]:
        raise ValueError(f"queries {query}, keys {key} and values {value} make no attention")
    past, mask = operand(arguments, 4), operand(arguments, 3)
    return "sdpa", {
        "batch": query[0],
        "heads": query[1],
        "kv_heads": key[1],
        "query_len": query[2],
        "key_len": key[2] + (past.shape[2] if past else 0),
        "head_dim": query[3],
        "value_dim": value[3],
        "causal": bool(arguments.get("is_causal")),
        "mask": mask.shape if mask else None,
    }


def _four_axes(side: Shape, arguments: Arguments, heads: str) -> Shape:
    if len(side) == 4:
        return side
    batch, length, features = side
    if features % arguments[heads]:
        raise ValueError(f"{features} features for {arguments[heads]} heads")
    return batch, arguments[heads], length, features // arguments[heads]


_ATTENTION = Rule("attention", _attention)

RULES: dict[str, Rule] = {**same(_ATTENTION, "Attention ai.onnx.preview::FlexAttention")}
