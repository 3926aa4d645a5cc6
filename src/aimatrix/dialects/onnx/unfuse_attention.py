"""Attentions of ONNX Runtime as projections, biases, caches, and ONNX's own attention.

Each kind has another way to hand over queries, keys and values; all end in one `Attention` of
(batch, heads, length, features), or (batch, length, features of all heads), whose cost is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aimatrix.dialects.onnx.parts import Parts, shaped
from aimatrix.dialects.raw import TensorArg

#: keys and values of a cache, each where it is there
_Cache = tuple[TensorArg | None, TensorArg | None]


@dataclass(frozen=True, slots=True)
class _Heads:
    """Queries, keys and values, and how many heads they have."""

    query: TensorArg
    key: TensorArg
    value: TensorArg
    heads: int
    kv_heads: int


def _attention_with_cache(parts: Parts) -> None:
    """ONNX's own: keys and values go behind those of the past, which it hands on."""
    past, present = (parts.input(4), parts.input(5)), (parts.output(1), parts.output(2))
    if past[0] is None:
        parts.whole()
        return
    groups = parts.attribute("kv_num_heads", 1)  # told unless the tensors have an axis of heads
    key = _behind(parts, parts.given(1), groups, past[0], present[0])
    value = _behind(parts, parts.given(2), groups, past[1], present[1])
    taken = [parts.given(0), key, value, parts.input(3)]
    parts.call("Attention", taken, parts.result(), **parts.attributes())


def _self_attention(parts: Parts) -> None:
    """``Attention``: (batch, length, features) times the weights of queries, keys and values."""
    taken, weights = parts.given(0), parts.given(1)
    projected = shaped(taken, (*taken.shape[:-1], weights.shape[1]))
    parts.call("MatMul", [taken, weights], projected)
    bias = parts.input(2)
    if bias:
        parts.each("Add", projected, bias)
    heads, mask = _own_heads(parts, projected), parts.input(5) or parts.input(3)
    _attend(parts, heads, mask, _halves(parts.input(4)), _halves(parts.output(1)))


def _quantised_self_attention(parts: Parts) -> None:
    """``QAttention``: as ``Attention``, its projections in whole numbers."""
    taken, weights, result = parts.given(0), parts.given(1), parts.result()
    sizes = (*taken.shape[:-1], weights.shape[1])
    zeros = parts.input(6), parts.input(7)
    whole = parts.call("MatMulInteger", [taken, weights, *zeros], shaped(result, sizes, "int32"))
    projected = parts.each("Cast", whole, output=shaped(result, sizes))
    parts.each("Mul", projected, shaped(result, ()))
    parts.each("Add", projected, parts.given(2))
    heads, mask = _own_heads(parts, projected), parts.input(5)
    _attend(parts, heads, mask, _halves(parts.input(8)), _halves(parts.output(1)))


def _packed_self_attention(parts: Parts) -> None:
    """``PackedAttention``: the sequences of a batch in a row, (length of all, features)."""
    taken, weights = parts.given(0), parts.given(1)
    projected = shaped(taken, (*taken.shape[:-1], weights.shape[1]))
    parts.call("MatMul", [taken, weights], projected)
    parts.each("Add", projected, parts.given(2))
    _attend_packed(parts, _own_heads(parts, projected), offsets=3, bias=5)


def _packed_attention(parts: Parts) -> None:
    """``PackedMultiHeadAttention``: as ``PackedAttention``, behind its projections."""
    heads = _given_heads(parts, parts.attribute("num_heads"), parts.attribute("num_heads"))
    _add_bias(parts, heads, parts.input(3))
    _attend_packed(parts, heads, offsets=4, bias=6)


def _attention_behind_projections(parts: Parts) -> None:
    """``MultiHeadAttention``: queries, keys and values apart, or packed in one."""
    count = parts.attribute("num_heads")
    heads = _given_heads(parts, count, count)
    _add_bias(parts, heads, parts.input(3))
    past, present = (parts.input(6), parts.input(7)), (parts.output(1), parts.output(2))
    _attend(parts, heads, parts.input(5) or parts.input(4), past, present)


def _decoding_attention(parts: Parts) -> None:
    """``DecoderMaskedMultiHeadAttention``: one query in each sequence."""
    count = parts.attribute("num_heads")
    heads = _given_heads(parts, count, count)
    _add_bias(parts, heads, parts.input(10))
    past, present = (parts.input(5), parts.input(6)), (parts.output(1), parts.output(2))
    _attend(parts, heads, parts.input(4) or parts.input(3), past, present)


def _grouped_attention(parts: Parts) -> None:
    """``GroupQueryAttention``: fewer heads of keys; normalized and rotated before, if wanted."""
    heads = _given_heads(parts, parts.attribute("num_heads"), parts.attribute("kv_num_heads"))
    for tensor, count, scale in (
        (heads.query, heads.heads, parts.input(14)),
        (heads.key, heads.kv_heads, parts.input(15)),
    ):
        if scale:
            split = shaped(tensor, (*tensor.shape[:2], count, tensor.shape[2] // count))
            parts.call("RMSNormalization", [split, scale], split)
        if parts.attribute("do_rotary"):
            tables = parts.given(7), parts.given(8)
            parts.call("com.microsoft::RotaryEmbedding", [tensor, parts.input(9), *tables], tensor)
    causal = parts.attribute("causal", 1) != 0
    past, present = (parts.input(3), parts.input(4)), (parts.output(1), parts.output(2))
    _attend(parts, heads, parts.input(10), past, present, causal)


def _own_heads(parts: Parts, projected: TensorArg) -> _Heads:
    """What the one projection of queries, keys and values gives."""
    *outer, features = projected.shape
    count = parts.attribute("num_heads")
    sizes = parts.attribute("qkv_hidden_sizes") or (features // 3,) * 3
    if sum(sizes) != features:
        raise ValueError(f"{features} features are no queries, keys and values of {sizes}")
    query, key, value = (shaped(projected, (*outer, size)) for size in sizes)
    return _Heads(query, key, value, count, count)


def _given_heads(parts: Parts, heads: int, kv_heads: int) -> _Heads:
    """Queries, keys and values as they are given: apart, or packed in one or two tensors."""
    query, key, value = parts.given(0), parts.input(1), parts.input(2)
    if len(query.shape) == len(parts.result().shape) + 2:  # (..., heads, 3, features of one)
        *outer, count, _, size = query.shape
        query = key = value = shaped(query, (*outer, count * size))
    elif key is None:  # behind one another
        *outer, features = query.shape
        size = features // (heads + 2 * kv_heads)
        key = value = shaped(query, (*outer, kv_heads * size))
        query = shaped(query, (*outer, heads * size))
    elif len(key.shape) == 5:  # (batch, length, heads, 2, features of one)
        *outer, count, _, size = key.shape
        key = value = shaped(key, (*outer, count * size))
    if key is None or value is None:
        raise ValueError("an attention lacks its values")
    return _Heads(query, key, value, heads, kv_heads)


def _add_bias(parts: Parts, heads: _Heads, bias: TensorArg | None) -> None:
    """The bias of all projections in one vector."""
    if bias:
        for tensor in (heads.query, heads.key, heads.value):
            if len(tensor.shape) < 4:  # those of another sequence are ready
                parts.each("Add", tensor, shaped(bias, tensor.shape[-1:]))


def _attend(
    parts: Parts,
    heads: _Heads,
    mask: TensorArg | None,
    past: _Cache,
    present: _Cache,
    causal: bool | None = None,
) -> None:
    """Keys and values go behind those of the past, then all are attended to."""
    if causal is None:
        causal = bool(parts.attribute("unidirectional"))
    key = _behind(parts, heads.key, heads.kv_heads, past[0], present[0])
    value = _behind(parts, heads.value, heads.kv_heads, past[1], present[1])
    _core(parts, heads.query, key, value, mask, heads, causal)


def _behind(
    parts: Parts,
    tensor: TensorArg,
    heads: int,
    past: TensorArg | None,
    present: TensorArg | None,
) -> TensorArg:
    """Keys, or values, with those of the past before them, as the call hands them on.

    A cache of past and present in one buffer is as long as it can become: how much of it is used
    is data, and all counts.
    """
    if past is None and (present is None or len(tensor.shape) == 4):
        return tensor
    if len(tensor.shape) == 3:
        batch, length, features = tensor.shape
        tensor = shaped(tensor, (batch, heads, length, features // heads))
    if past is None:
        return parts.call("Transpose", [tensor], tensor)
    if present is not None and present.shape == past.shape:
        return parts.call("TensorScatter", [past, tensor], past)
    batch, heads, length, size = tensor.shape
    whole = shaped(tensor, (batch, heads, past.shape[2] + length, size))
    return parts.call("Concat", [past, tensor], whole, axis=2)


def _halves(cache: TensorArg | None) -> _Cache:
    """Keys and values that are kept in one tensor, keys first."""
    half = shaped(cache, cache.shape[1:]) if cache else None
    return half, half


def _attend_packed(parts: Parts, heads: _Heads, offsets: int, bias: int) -> None:
    """Sequences of one length are a batch; else what they attend to is data, and unknown."""
    batch, length = parts.given(offsets).shape
    tokens = heads.query.shape[0]
    if tokens != batch * length:
        packed = [heads.query, heads.key, heads.value]
        parts.call("com.microsoft::PackedMultiHeadAttention", packed, parts.result())
        return
    query, key, value = (
        shaped(tensor, (batch, length, tensor.shape[-1]))
        for tensor in (heads.query, heads.key, heads.value)
    )
    _core(parts, query, key, value, parts.input(bias), heads, causal=False)


def _core(
    parts: Parts,
    query: TensorArg,
    key: TensorArg,
    value: TensorArg,
    mask: TensorArg | None,
    heads: _Heads,
    causal: bool,
) -> None:
    parts.call(
        "Attention",
        [query, key, value, mask],
        parts.result(),
        q_num_heads=heads.heads,
        kv_num_heads=heads.kv_heads,
        is_causal=int(causal),
    )


#: fused attention -> how it is taken apart
ATTENTION: dict[str, Callable[[Parts], object]] = {
    "Attention": _attention_with_cache,
    "com.microsoft::Attention": _self_attention,
    "com.microsoft::QAttention": _quantised_self_attention,
    "com.microsoft::DecoderMaskedSelfAttention": _self_attention,
    "com.microsoft::PackedAttention": _packed_self_attention,
    "com.microsoft::PackedMultiHeadAttention": _packed_attention,
    "com.microsoft::MultiHeadAttention": _attention_behind_projections,
    "com.microsoft::DecoderMaskedMultiHeadAttention": _decoding_attention,
    "com.microsoft::GroupQueryAttention": _grouped_attention,
}
