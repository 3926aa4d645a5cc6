"""What comes out of ONNX Runtime's own operators, which ONNX's shape inference does not know."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix import ops
from aimatrix.dialects.onnx.matmul import turned
from aimatrix.dialects.onnx.parts import Parts, shaped
from aimatrix.dialects.onnx.window import channels_first, has_channels_last, window
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.dialects.rule import NO_SENSE, Shape
from aimatrix.model.calls import OpCall
from aimatrix.ops.elementwise import broadcast

Outputs = tuple[TensorArg, ...]
Inferring = Callable[[Parts], Outputs]


def output_shapes(raw: RawCall) -> Outputs | None:
    """All outputs that the operator can have, in the order of its schema.

    Of its inputs and attributes alone; None of an operator that is not known here, or whose
    inputs are not. The inputs must be as they are: one left out is None, none may be unknown.
    """
    inferring = _OUTPUTS.get(raw.name)
    if inferring is None:
        return None
    try:
        return inferring(Parts(raw))
    except NO_SENSE:
        return None


def _as_input(place: int = 0, outputs: int = 1) -> Inferring:
    def infer(parts: Parts) -> Outputs:
        return (parts.given(place),) * outputs

    return infer


def _broadcast(*places: int) -> Inferring:
    """Of the dtype of the last of the inputs at these places."""

    def infer(parts: Parts) -> Outputs:
        tensors = [parts.given(place) for place in places]
        return (shaped(tensors[-1], broadcast(tuple(tensor.shape for tensor in tensors))),)

    return infer


def _normalized(parts: Parts) -> Outputs:
    """The output, mean and deviation of each row, and the sum that was normalized."""
    taken = parts.given(0)
    statistics = shaped(taken, (*taken.shape[:-1], 1), "float32")
    return taken, statistics, statistics, taken


def _embedded(parts: Parts) -> Outputs:
    ids, table = parts.given(0), parts.given(2)
    rows = shaped(table, (*ids.shape, table.shape[1]))
    return rows, shaped(ids, ids.shape[:1], "int32"), rows


def _slid(weight: int | None) -> Inferring:
    """Of a convolution with its weights at that place, or of a pooling."""

    def infer(parts: Parts) -> Outputs:
        name, arguments, taken = parts.name, parts.attributes(), parts.given(0)
        batch, channels, *sides = channels_first(name, taken.shape, arguments)
        if weight is None:
            kernel = tuple(parts.attribute("kernel_shape"))
        else:
            filters = parts.given(weight).shape
            channels, kernel = filters[0], tuple(parts.attribute("kernel_shape") or filters[2:])
        slid = window(arguments, tuple(sides), kernel)
        call = OpCall.create(
            "pooling",
            f"max_pool{len(sides)}d",
            slid.pooling(batch, channels, kernel, parts.attribute("ceil_mode")),
        )
        given = ops.output_shape(call) or ()
        if has_channels_last(name, arguments):
            given = (given[0], *given[2:], given[1])
        return (shaped(taken, given),)

    return infer


def _pooled_to_one(parts: Parts) -> Outputs:
    taken = parts.given(0)
    batch, channels, *sides = channels_first(parts.name, taken.shape, parts.attributes())
    ones = (1,) * len(sides)
    last = has_channels_last(parts.name, parts.attributes())
    return (shaped(taken, (batch, *ones, channels) if last else (batch, channels, *ones)),)


def _product(parts: Parts) -> Outputs:
    a, b = parts.given(0), parts.given(1)
    sides = turned(a.shape, parts.attributes(), "A"), turned(b.shape, parts.attributes(), "B")
    return (shaped(a, _multiplied(*sides)),)


def _integer_product(parts: Parts) -> Outputs:
    """Real numbers, of the dtype of the scale of the second side."""
    a, b, scale = parts.given(0), parts.given(1), parts.given(_SCALES[parts.name])
    return (shaped(scale, _multiplied(a.shape, b.shape)),)


def _general(second: int, dtype_of: int) -> Inferring:
    def infer(parts: Parts) -> Outputs:
        a, b = parts.given(0), parts.given(second)
        m = a.shape[1 if parts.attribute("transA") else 0]
        n = b.shape[0 if parts.attribute("transB") else 1]
        zero = parts.input(dtype_of)
        return (shaped(a, (m, n), zero.dtype if zero else "float32"),)

    return infer


def _packed_weights(parts: Parts) -> Outputs:
    taken = parts.given(0)
    return (shaped(taken, (*taken.shape[:-1], parts.attribute("N"))),)


def _multiplied(a: Shape, b: Shape) -> Shape:
    """NumPy's product: vectors are rows or columns, which the output has not."""
    rows, columns = (1, *a)[-2:] if len(a) == 1 else a[-2:], (*b, 1) if len(b) == 1 else b[-2:]
    if rows[1] != columns[0]:
        raise ValueError(f"shapes {a} and {b} make no product")
    batch = broadcast((a[:-2], b[:-2]))
    return (*batch, *(rows[:1] if len(a) > 1 else ()), *(columns[1:] if len(b) > 1 else ()))


def _self_attention(past: int, dtype_of: int) -> Inferring:
    """Of the projection's dtype; keys and values of past and present are in one tensor."""

    def infer(parts: Parts) -> Outputs:
        taken, weights = parts.given(0), parts.given(1)
        sizes = parts.attribute("qkv_hidden_sizes") or (weights.shape[1] // 3,) * 3
        output = shaped(taken, (*taken.shape[:-1], sizes[2]), parts.given(dtype_of).dtype)
        if len(taken.shape) != 3:  # packed: no cache
            return (output,)
        cache, heads = parts.input(past), parts.attribute("num_heads")
        batch, length, _ = taken.shape
        before = cache.shape[3] if cache else 0
        if cache and parts.attribute("past_present_share_buffer"):
            return output, cache
        return output, shaped(output, (2, batch, heads, before + length, sizes[1] // heads))

    return infer


def _attention(past: int, kv_heads: str) -> Inferring:
    """Of queries, keys and values that are projected already."""

    def infer(parts: Parts) -> Outputs:
        query, key, value = parts.given(0), parts.input(1), parts.input(2)
        heads, groups = parts.attribute("num_heads"), parts.attribute(kv_heads)
        batch, length = query.shape[:2]
        if len(query.shape) == 5 or key is None:  # packed
            size = prod(query.shape[2:]) // (heads + 2 * groups)
            kv_length, value_size = length, size
        else:
            size = query.shape[2] // heads
            kv_length, value_size = _kept(key, value, groups, size)
        output = shaped(query, (batch, length, heads * value_size))
        cache = parts.input(past)
        if cache and parts.attribute("past_present_share_buffer"):
            return output, cache, parts.given(past + 1)
        whole = kv_length + (cache.shape[2] if cache else 0)
        sides = (batch, groups, whole)
        return output, shaped(query, (*sides, size)), shaped(query, (*sides, value_size))

    return infer


def _kept(key: TensorArg, value: TensorArg | None, heads: int, size: int) -> tuple[int, int]:
    """(how many keys there are, features of a value)."""
    if value is None:  # (batch, length, heads, 2, features)
        return key.shape[1], size
    if len(key.shape) == 4:  # (batch, heads, length, features)
        return key.shape[2], value.shape[3]
    return key.shape[1], value.shape[2] // heads


def _packed_attention(parts: Parts) -> Outputs:
    query, value = parts.given(0), parts.input(2)
    if value is not None:
        return (shaped(query, (query.shape[0], value.shape[1])),)
    tokens, heads, _, size = query.shape
    return (shaped(query, (tokens, heads * size)),)


def _quantised(parts: Parts) -> Outputs:
    taken, zero = parts.given(0), parts.input(2)
    return (shaped(taken, taken.shape, zero.dtype if zero else "uint8"),)


def _dequantised(parts: Parts) -> Outputs:
    return (shaped(parts.given(1), parts.given(0).shape),)


def _joined(parts: Parts) -> Outputs:
    tensors = [tensor for tensor in parts.inputs[2::3] if tensor is not None]
    call = OpCall.create(
        "movement",
        "cat",
        {"inputs": [tensor.shape for tensor in tensors], "dim": parts.attribute("axis")},
    )
    return (shaped(tensors[0], ops.output_shape(call) or ()),)


def _averaged(parts: Parts) -> Outputs:
    taken = parts.given(0)
    rank = len(taken.shape)
    axes = {axis % rank for axis in parts.attribute("axes") or range(rank)}
    keep = parts.attribute("keepdims", 1) != 0
    sizes = enumerate(taken.shape)
    return (
        shaped(
            taken, [1 if axis in axes else size for axis, size in sizes if keep or axis not in axes]
        ),
    )


def _halved(parts: Parts) -> Outputs:
    taken = parts.given(0)
    return (shaped(taken, (*taken.shape[:-1], taken.shape[-1] // 2)),)


def _looked_up(parts: Parts) -> Outputs:
    """``GatherBlockQuantized``: of the dtype of the scales, along one axis; bytes hold more."""
    data, indices, scales = parts.given(0), parts.given(1), parts.given(2)
    sizes = list(data.shape)
    axis = parts.attribute("gather_axis", 0) % len(sizes)
    if data.dtype == "uint8":
        sizes[-1] *= 8 // parts.attribute("bits", 4)
    return (shaped(scales, (*sizes[:axis], *indices.shape, *sizes[axis + 1 :])),)


def _spectrum(parts: Parts) -> Outputs:
    taken = parts.given(0)
    last = taken.shape[-1] // 2 + 1 if parts.attribute("onesided", 1) else taken.shape[-1]
    return (shaped(taken, (*taken.shape[:-1], last, 2)),)


def _signal(parts: Parts) -> Outputs:
    taken = parts.given(0)
    *outer, last, _ = taken.shape
    points = 2 * (last - 1) if parts.attribute("onesided", 1) else last
    return (shaped(taken, (*outer, points)),)


def _distances(parts: Parts) -> Outputs:
    a, b = parts.given(0), parts.given(1)
    return (shaped(a, (a.shape[0], b.shape[0])),)


def _reordered(parts: Parts) -> Outputs:
    """Into blocks of channels, of an input that may have its channels last."""
    taken = parts.given(0)
    return (shaped(taken, channels_first(parts.name, taken.shape, parts.attributes())),)


def _ordered_back(parts: Parts) -> Outputs:
    """Out of blocks of channels, of which the last may have been filled up."""
    batch, _, *sides = parts.given(0).shape
    channels = parts.attribute("channels")
    last = has_channels_last(parts.name, parts.attributes())
    return (
        shaped(parts.given(0), (batch, *sides, channels) if last else (batch, channels, *sides)),
    )


def _enlarged(parts: Parts) -> Outputs:
    taken, factors = parts.given(0), parts.attribute("scales")
    sizes = [size * factor for size, factor in zip(taken.shape, factors, strict=True)]
    return (shaped(taken, sizes),)


def _named(inferring: Inferring, names: str, domain: str = "com.microsoft") -> dict[str, Inferring]:
    return {f"{domain}::{name}": inferring for name in names.split()}


def _in_layout(domain: str) -> dict[str, Inferring]:
    """Convolutions and poolings in another order of their tensors' axes."""
    return {
        **_named(_slid(1), "Conv", domain),
        **_named(_slid(3), "QLinearConv", domain),
        **_named(_slid(None), "MaxPool AveragePool LpPool QLinearAveragePool", domain),
        **_named(_pooled_to_one, "GlobalAveragePool GlobalMaxPool GlobalLpPool", domain),
    }


#: products whose output is scaled -> the place of the scale
_SCALES = {"com.microsoft::DynamicQuantizeMatMul": 2, "com.microsoft::MatMulIntegerToFloat": 3}

_OUTPUTS: dict[str, Inferring] = {
    **_named(
        _as_input(),
        "Gelu FastGelu BiasGelu QuickGelu ScaledSiLU BiasAdd BiasSoftmax RotaryEmbedding"
        " MRotaryEmbedding GroupNorm GatedRMSNorm SimplifiedLayerNormalization MoE QMoE Trilu"
        " QLinearSigmoid QLinearLeakyRelu QLinearSoftmax SwiGLU BranchwiseRMSNorm",
    ),
    **_named(_as_input(outputs=2), "BiasDropout BitmaskDropout BitmaskBiasDropout SkipGroupNorm"),
    **_named(_normalized, "SkipLayerNormalization SkipSimplifiedLayerNormalization"),
    **_named(_embedded, "EmbedLayerNormalization"),
    **_named(_slid(1), "FusedConv NhwcConv NhwcFusedConv"),
    **_named(_slid(3), "QLinearConv"),
    **_named(_slid(None), "NhwcMaxPool MaxpoolWithMask QLinearAveragePool"),
    **_named(_pooled_to_one, "QLinearGlobalAveragePool"),
    **_named(_product, "FusedMatMul TransposeMatMul FusedMatMulActivation GemmFastGelu"),
    **_named(_integer_product, "DynamicQuantizeMatMul MatMulIntegerToFloat"),
    **_named(_general(1, 0), "FusedGemm"),
    **_named(_general(3, 8), "QGemm"),
    **_named(_packed_weights, "MatMulNBits MatMulBnb4"),
    **_named(_self_attention(4, 0), "Attention DecoderMaskedSelfAttention PackedAttention"),
    **_named(_self_attention(8, 3), "QAttention"),
    **_named(_attention(6, "num_heads"), "MultiHeadAttention"),
    **_named(_attention(5, "num_heads"), "DecoderMaskedMultiHeadAttention"),
    **_named(_attention(3, "kv_num_heads"), "GroupQueryAttention"),
    **_named(_packed_attention, "PackedMultiHeadAttention"),
    **_named(_quantised, "QuantizeLinear"),
    **_named(_dequantised, "DequantizeLinear"),
    **_named(_broadcast(0, 3), "QLinearAdd QLinearMul"),
    **_named(_broadcast(0, 1, 4), "QLinearWhere"),
    **_named(_joined, "QLinearConcat"),
    **_named(_averaged, "QLinearReduceMean"),
    **_named(_halved, "BiasSplitGelu"),
    **_named(_as_input(2), "GatedRelativePositionBias"),
    **_named(_looked_up, "GatherBlockQuantized"),
    **_named(_spectrum, "Rfft"),
    **_named(_signal, "Irfft"),
    **_named(_distances, "CDist"),
    **_named(_broadcast(0, 1), "ComplexMul ComplexMulConj"),
    **_in_layout("com.ms.internal.nhwc"),
    **_in_layout("com.microsoft.nchwc"),
    **_named(_reordered, "ReorderInput", "com.microsoft.nchwc"),
    **_named(_ordered_back, "ReorderOutput", "com.microsoft.nchwc"),
    **_named(_enlarged, "Upsample", "com.microsoft.nchwc"),
}
