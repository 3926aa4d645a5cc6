"""Normalizations as ONNX spells them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix.dialects.operands import inputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation, same


def _normalization(kind: str) -> Rule:
    """Of an operator whose first input is normalized, and whose others are its parameters."""
    return Rule("normalization", _of(kind))


def _of(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        parameters = sum(prod(taken) for taken in inputs(arguments)[1:])
        return kind, {"input": shape(arguments, 0), "parameters": parameters}

    return translation


RULES: dict[str, Rule] = {
    "BatchNormalization": _normalization("batch_norm"),
    "com.ms.internal.nhwc::BatchNormalization": _normalization("batch_norm"),
    "LayerNormalization": _normalization("layer_norm"),
    **same(
        _normalization("instance_norm"),
        "InstanceNormalization com.ms.internal.nhwc::InstanceNormalization",
    ),
    **same(_normalization("group_norm"), "GroupNormalization com.microsoft::GroupNorm"),
    # ONNX Runtime took the second into ONNX's own domain before that had the first
    **same(_normalization("rms_norm"), "RMSNormalization SimplifiedLayerNormalization"),
    "com.microsoft::SimplifiedLayerNormalization": _normalization("rms_norm"),
    "com.microsoft::BranchwiseRMSNorm": _normalization("rms_norm"),
    "LpNormalization": _normalization("lp_norm"),
    "ai.onnx.ml::Normalizer": _normalization("lp_norm"),
    "MeanVarianceNormalization": _normalization("mean_variance_norm"),
    **same(_normalization("local_response_norm"), "LRN com.ms.internal.nhwc::LRN"),
}
