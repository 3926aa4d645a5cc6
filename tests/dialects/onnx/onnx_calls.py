"""Nodes of ONNX made by hand: shapes as lists, with dtypes where they are not float32."""

from __future__ import annotations

from typing import Any

from aimatrix.dialects.onnx import translate
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.model.calls import OpCall

#: a shape, a shape and a dtype, or an input that is left out
Tensor = list[int] | tuple[list[int], str] | None


def tensor(given: Tensor) -> TensorArg | None:
    if given is None:
        return None
    shape, dtype = given if isinstance(given, tuple) else (given, "float32")
    return TensorArg(tuple(shape), dtype)


def node(operator: str, inputs: list[Tensor], outputs: list[Tensor], **attributes: Any) -> RawCall:
    """A call of ``operator``, of ONNX's own domain unless it names another."""
    return RawCall(
        operator if "::" in operator else f"onnx::{operator}",
        {
            "inputs": tuple(tensor(item) for item in inputs),
            "outputs": tuple(tensor(item) for item in outputs),
            **attributes,
        },
        dialect="onnx",
    )


def call(operator: str, inputs: list[Tensor], outputs: list[Tensor], **attributes: Any) -> OpCall:
    return translate(node(operator, inputs, outputs, **attributes))
