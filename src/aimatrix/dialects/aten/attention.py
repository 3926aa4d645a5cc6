"""Attention as PyTorch spells it: the outermost operator and the backends it chooses from."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, broadcast, same

#: what a capture keeps; the longest sequences stand for the offsets of packed ones, never read
_READS = (
    "is_causal",
    "custom_mask_type",
    "max_q",
    "max_k",
    "max_seqlen_q",
    "max_seqlen_k",
)
_MASKS = ("attn_mask", "attn_bias", "bias")


def _scaled_dot_product(name: str, arguments: Arguments) -> Translation:
    """(batch, heads, length, features), the batch of any rank, the heads perhaps left out."""
    query, key, value = (
        _four_axes(arguments[of].shape, heads_last=False) for of in ("query", "key", "value")
    )
    return _attention(name, query, key, value, arguments)


def _heads_last(name: str, arguments: Arguments) -> Translation:
    """(batch, length, heads, features); or packed sequences: (length of all, heads, features)."""
    shapes = [arguments[of].shape for of in ("query", "key", "value")]
    offsets = _offsets(arguments, "q"), _offsets(arguments, "k")
    if any(offsets):
        shapes = _unpacked(shapes, offsets, arguments)
    query, key, value = (_four_axes(shape, heads_last=True) for shape in shapes)
    return _attention(name, query, key, value, arguments)


def _attention(
    name: str, query: Shape, key: Shape, value: Shape, arguments: Arguments
) -> Translation:
    if key[1:3] != value[1:3] or query[3] != key[3]:
        raise ValueError(f"queries {query}, keys {key} and values {value} make no attention")
    (batch,) = broadcast(broadcast(query[:1], key[:1]), value[:1])
    causal = arguments.get("is_causal") or arguments.get("custom_mask_type")
    return "sdpa_backward" if name.endswith("_backward") else "sdpa", {
        "batch": batch,
        "heads": query[1],
        "kv_heads": key[1],
        "query_len": query[2],
        "key_len": key[2],
        "head_dim": query[3],
        "value_dim": value[3],
        "causal": bool(causal),
        "mask": _mask(arguments),
    }


def _four_axes(shape: Shape, *, heads_last: bool) -> Shape:
    """(batch, heads, length, features) of what may have any batch, and no heads."""
    if heads_last:
        *batch, length, heads, features = shape
        return prod(batch), heads, length, features
    if len(shape) < 4:
        *batch, length, features = shape
        return prod(batch), 1, length, features
    return prod(shape[:-3]), *shape[-3:]


def _offsets(arguments: Arguments, of: str) -> Any:
    """Where each of the packed sequences begins, one more than there are; None if not packed."""
    for spelling in (f"cum_seq_{of}", f"cu_seqlens_{of}"):
        given = arguments.get(spelling)
        if given is not None and given.shape != (0,):
            return given.shape
    return None


def _unpacked(shapes: list[Shape], offsets: tuple[Any, Any], arguments: Arguments) -> list[Shape]:
    """Packed sequences as a batch, if all are of equal length; else their work is not known."""
    unpacked: list[Shape] = []
    for shape, of in zip(shapes, "qkk", strict=True):
        total, heads, features = shape[-3:]
        length = arguments.get(f"max_{of}") or arguments[f"max_seqlen_{of}"]
        count = offsets["qk".index(of)][0] - 1
        if total != count * length:
            raise ValueError("packed sequences of different lengths")
        unpacked.append((count, length, heads, features))
    return unpacked


def _mask(arguments: Arguments) -> Shape | None:
    for name in _MASKS:
        mask = arguments.get(name)
        if mask is not None:
            return tuple(mask.shape)
    return None


_SDPA = Rule("attention", _scaled_dot_product, _READS, dtype_of="query")
_HEADS_LAST = Rule("attention", _heads_last, _READS, dtype_of="query")

RULES: dict[str, Rule] = {
    **same(
        _SDPA,
        "scaled_dot_product_attention _scaled_dot_product_attention_math"
        " _scaled_dot_product_attention_math_for_mps _scaled_dot_product_flash_attention"
        " _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention"
        " _scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable",
    ),
    **same(
        _SDPA,
        "_scaled_dot_product_flash_attention_backward"
        " _scaled_dot_product_flash_attention_for_cpu_backward"
        " _scaled_dot_product_efficient_attention_backward"
        " _scaled_dot_product_cudnn_attention_backward"
        " _scaled_dot_product_fused_attention_overrideable_backward",
    ),
    **same(
        _HEADS_LAST,
        "_flash_attention_forward _efficient_attention_forward"
        " _flash_attention_backward _efficient_attention_backward",
    ),
}
