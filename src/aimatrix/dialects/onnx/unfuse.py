"""Fused operators of ONNX Runtime as the plain ones that they stand for.

What a profile counts may not depend on how a runtime fuses: a fused node counts as its parts.
Whatever a fused operator keeps to itself between them has the shape that a plain graph gives it.
"""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects.onnx.matmul import turned
from aimatrix.dialects.onnx.parts import Parts, shaped
from aimatrix.dialects.onnx.unfuse_attention import ATTENTION
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.dialects.rule import NO_SENSE

Unfusing = Callable[[Parts], object]

#: how attributes name activations besides by ONNX's operators
_ACTIVATIONS = {"silu": "Swish", "swish": "Swish", "gelu": "Gelu", "relu": "Relu"}


def unfuse(raw: RawCall) -> tuple[RawCall, ...]:
    """The plain calls that a node stands for; the node alone where it is no fused one. Never fails.

    One whose shapes make no sense is left as it is, too, and then is an `unknown` call.
    """
    name = raw.name.removeprefix("onnx::")
    unfusing = _FUSED.get(name)
    if unfusing is None and raw.arguments.get("activation") and name.startswith(_ACTIVATING):
        unfusing = _activated(name)
    if unfusing is None:
        return (raw,)
    try:
        parts = Parts(raw)
        unfusing(parts)
    except NO_SENSE:
        return (raw,)
    return tuple(parts.calls)


def fused() -> tuple[str, ...]:
    """The names of all operators that are always taken apart."""
    return tuple(_FUSED)


def _activated(operator: str, operands: int | None = None) -> Unfusing:
    """An operator, then what is added to its output, if anything is, then its activation.

    operands: how many inputs are the operator's own; all unless given.
    """

    def parts_of(parts: Parts) -> None:
        own = parts.attributes(*_ACTIVATION_ATTRIBUTES)
        taken = parts.inputs
        y = parts.call(operator, taken[:operands], parts.result(), **own)
        for added in taken[operands:] if operands else ():
            if added is not None:
                y = parts.each("Add", y, added)
        _activation(parts, y)

    return parts_of


def _activation(parts: Parts, y: TensorArg) -> None:
    activation = parts.attribute("activation")
    if activation and activation.lower() not in ("none", "identity"):
        operator = _ACTIVATIONS.get(activation.lower(), activation)
        axis = parts.attribute("activation_axis")
        parts.each(operator, y, **({} if axis is None else {"axis": axis}))


def _product(parts: Parts) -> None:
    """``FusedMatMul``: the product of its sides as they take part in it."""
    sides = [
        shaped(parts.given(place), turned(parts.given(place).shape, parts.attributes(), of))
        for place, of in enumerate("AB")
    ]
    y = parts.call("MatMul", sides, parts.result())
    if parts.attribute("alpha", 1.0) != 1:
        parts.each("Mul", y, shaped(y, ()))
    _activation(parts, y)


def _product_with_gelu(parts: Parts) -> None:
    y = parts.call("MatMul", [parts.given(0), parts.given(1)], parts.result())
    bias = parts.input(2)
    parts.each("Gelu", parts.each("Add", y, bias) if bias else y)


def _integer_product(bias: int, zeros: tuple[int, int]) -> Unfusing:
    """A product of whole numbers, scaled to real ones, and a bias."""

    def parts_of(parts: Parts) -> None:
        _scaled_product(parts, parts.given(0), bias, parts.input(zeros[0]), parts.input(zeros[1]))

    return parts_of


def _quantising_product(parts: Parts) -> None:
    """``DynamicQuantizeMatMul``: the left side becomes whole numbers first."""
    a = parts.given(0)
    quantised = parts.each("DynamicQuantizeLinear", a, output=shaped(a, a.shape, "uint8"))
    zero = shaped(a, (), "uint8")
    _scaled_product(parts, quantised, 4, zero, parts.input(3))


def _scaled_product(
    parts: Parts, a: TensorArg, bias: int, a_zero: TensorArg | None, b_zero: TensorArg | None
) -> None:
    y, b = parts.result(), parts.given(1)
    whole = parts.call("MatMulInteger", [a, b, a_zero, b_zero], shaped(y, y.shape, "int32"))
    real = parts.each("Cast", whole, output=y)
    real = parts.each("Mul", real, shaped(y, ()))
    added = parts.input(bias)
    if added:
        parts.each("Add", real, added)


def _added(operator: str | None = None, *others: int) -> Unfusing:
    """All that is given at 1 and the ``others`` is added to the first input; then ``operator``."""

    def parts_of(parts: Parts) -> None:
        y = parts.given(0)
        for place in (1, *others):
            added = parts.input(place)
            y = parts.each("Add", y, added) if added else y
        if operator:
            parts.each(operator, y, **parts.attributes())

    return parts_of


def _split_gelu(parts: Parts) -> None:
    """One half times the Gelu of the other."""
    y, half = parts.each("Add", parts.given(0), parts.given(1)), parts.result()
    parts.call("Split", [y], half)
    parts.each("Mul", half, parts.each("Gelu", half))


def _dropped(parts: Parts) -> None:
    parts.each("Dropout", parts.given(0))


def _skipped(operator: str, added: tuple[int, ...], scales: tuple[int, ...]) -> Unfusing:
    """A normalization of the sum of the first input and what is ``added``."""

    def parts_of(parts: Parts) -> None:
        y = parts.given(0)
        for place in added:
            other = parts.input(place)
            y = parts.each("Add", y, other) if other else y
        own = [parts.input(place) for place in scales]
        parts.call(operator, [y, *own], y, **parts.attributes("activation"))
        if parts.attribute("activation") == 1:
            parts.each("Swish", y)

    return parts_of


def _gated_norm(parts: Parts) -> None:
    x = parts.given(0)
    y = parts.call("RMSNormalization", [x, parts.given(1)], parts.result())
    parts.each("Mul", y, parts.each("Swish", parts.given(2)))


def _embedded(parts: Parts) -> None:
    """Rows of two or three tables, their sum, normalized."""
    segments, tables = parts.input(1), parts.input(4)
    y, ids = _words_and_places(parts, parts.input(8)), parts.given(0)
    if segments and tables:
        y = parts.each("Add", y, _rows(parts, tables, segments))
    parts.call("LayerNormalization", [y, parts.given(5), parts.given(6)], y)
    mask = parts.input(7)
    if mask:  # how long each sequence is
        parts.call("ReduceSum", [mask], shaped(ids, ids.shape[:1]), axes=(1,), keepdims=0)


def _words_and_places(parts: Parts, places: TensorArg | None) -> TensorArg:
    ids = parts.given(0)
    if places is None:  # 0, 1, 2 ..., the same in each sequence
        places = shaped(ids, (1, ids.shape[1]))
    words = _rows(parts, parts.given(2), ids)
    return parts.each("Add", words, _rows(parts, parts.given(3), places))


def _rows(parts: Parts, table: TensorArg, ids: TensorArg) -> TensorArg:
    return parts.call("Gather", [table, ids], shaped(table, (*ids.shape, table.shape[1])), axis=0)


def _gated_positions(parts: Parts) -> None:
    """``GatedRelativePositionBias``: a bias of scores, gated by the queries (WavLM's)."""
    query, weight, given = parts.given(0), parts.given(3), parts.result()
    batch, heads, steps, _ = given.shape
    parts.each("Add", query, parts.given(1))
    rows = shaped(query, (batch, heads, steps, weight.shape[0]))
    gates = shaped(query, (batch, heads, steps, weight.shape[1]))
    parts.call("MatMul", [rows, weight], gates)
    parts.each("Add", gates, parts.given(4))
    pairs = shaped(query, (batch, heads, steps, 2))
    split = shaped(query, (batch, heads, steps, 2, weight.shape[1] // 2))
    parts.call("ReduceSum", [split], pairs, axes=(-1,), keepdims=0)
    parts.each("Sigmoid", pairs)
    one = shaped(query, (batch, heads, steps, 1))
    for operator in ("Mul", "Sub"):
        parts.each(operator, one, parts.given(5))
    parts.each("Mul", one, one)
    parts.each("Mul", one, parts.given(2), output=given)


_ACTIVATION_ATTRIBUTES = (
    "activation",
    "activation_params",
    "activation_alpha",
    "activation_beta",
    "activation_gamma",
    "activation_axis",
)
#: operators that may have an activation behind, by an attribute, as ONNX Runtime's layouts do
_ACTIVATING = (
    "com.ms.internal.nhwc::",
    "CausalConvWithState",
    "com.microsoft::CausalConvWithState",
)

_FUSED: dict[str, Unfusing] = {
    "com.microsoft::FusedConv": _activated("Conv", 3),
    "com.microsoft::NhwcFusedConv": _activated("com.microsoft::NhwcConv", 3),
    "com.microsoft.nchwc::Conv": _activated("Conv", 3),
    "com.microsoft::FusedGemm": _activated("Gemm"),
    "com.microsoft::FusedMatMul": _product,
    "com.microsoft::TransposeMatMul": _product,
    "com.microsoft::FusedMatMulActivation": _product,
    "com.microsoft::GemmFastGelu": _product_with_gelu,
    "com.microsoft::DynamicQuantizeMatMul": _quantising_product,
    "com.microsoft::MatMulIntegerToFloat": _integer_product(6, (4, 5)),
    "com.microsoft::BiasGelu": _added("Gelu"),
    "com.microsoft::FastGelu": _added("Gelu"),
    "com.microsoft::BiasAdd": _added(None, 2),
    "com.microsoft::BiasSoftmax": _added("Softmax"),
    "com.microsoft::BiasSplitGelu": _split_gelu,
    "com.microsoft::BiasDropout": _added("Dropout", 2),
    "com.microsoft::BitmaskBiasDropout": _added("Dropout", 2),
    "com.microsoft::BitmaskDropout": _dropped,
    "com.microsoft::SkipLayerNormalization": _skipped("LayerNormalization", (1, 4), (2, 3)),
    "com.microsoft::SkipSimplifiedLayerNormalization": _skipped("RMSNormalization", (1, 3), (2,)),
    "com.microsoft::GroupNorm": _skipped("GroupNormalization", (), (1, 2)),
    "com.microsoft::SkipGroupNorm": _skipped("GroupNormalization", (3, 4), (1, 2)),
    "com.microsoft::GatedRMSNorm": _gated_norm,
    "com.microsoft::EmbedLayerNormalization": _embedded,
    "com.microsoft::GatedRelativePositionBias": _gated_positions,
    **ATTENTION,
}
