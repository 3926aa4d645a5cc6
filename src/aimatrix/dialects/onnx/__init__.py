"""ONNX operators as canonical calls: a file per kind of work, a line per operator in `RULES`.

A call is named by its domain and operator (``onnx::Conv``, ``com.microsoft::Gelu``); its
``inputs`` and ``outputs`` are those of the node, its other arguments the node's attributes.
`translate` never fails: what no rule knows or can make sense of is an `unknown` call.
"""

from __future__ import annotations

from aimatrix.dialects.onnx import (
    attention,
    by_shapes,
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
)
from aimatrix.dialects.raw import RawCall
from aimatrix.dialects.rule import Rule, canonical
from aimatrix.model.calls import OpCall

#: operator -> rule; those of ONNX's own domain are without it
RULES: dict[str, Rule] = {
    **convolution.RULES,
    **matmul.RULES,
    **contraction.RULES,
    **attention.RULES,
    **recurrent.RULES,
    **fourier.RULES,
    **pooling.RULES,
    **normalization.RULES,
    **elementwise.RULES,
    **reduction.RULES,
    **loss.RULES,
    **resampling.RULES,
    **indexing.RULES,
    **movement.RULES,
    **by_shapes.RULES,
}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of a node of an ONNX graph."""
    name = raw.name.removeprefix("onnx::")
    return canonical(raw, name, RULES.get(name))
