"""Attention where JAX has it as one operator, cuDNN's; else it is products and a softmax."""

from __future__ import annotations

from aimatrix.dialects.operands import shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same

#: in ``layout``: heads come before the places of a sequence
_HEADS_FIRST = 1


def _attention(name: str, arguments: Arguments) -> Translation:
    query, key, value = (_heads_first(arguments, place) for place in range(3))
    bias = arguments["inputs"][3]
    return "sdpa_backward" if "_bwd" in name else "sdpa", {
        "batch": query[0],
        "heads": query[1],
        "kv_heads": key[1],
        "query_len": query[2],
        "key_len": key[2],
        "head_dim": query[3],
        "value_dim": value[3],
        "causal": False,
        "mask": bias.shape if bias is not None and 0 not in bias.shape else None,
    }


def _heads_first(arguments: Arguments, place: int) -> Shape:
    batch, first, second, size = shape(arguments, place)
    if arguments["layout"] == _HEADS_FIRST:
        return batch, first, second, size
    return batch, second, first, size


RULES: dict[str, Rule] = same(
    Rule("attention", _attention),
    "dot_product_attention_fwd dot_product_attention_fwd_wrapper dot_product_attention_bwd"
    " dot_product_attention_bwd_wrapper",
)
