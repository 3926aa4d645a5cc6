"""Arguments of dialects whose calls tell their outputs too, ONNX and JAX: what their rules read.

A call of theirs has, besides its attributes, ``inputs`` (a tuple with None for an input that is
left out) and ``outputs`` (a tuple), of TensorArg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aimatrix.dialects.raw import TensorArg
from aimatrix.dialects.rule import Arguments, Shape, Translation
from aimatrix.errors import InputError
from aimatrix.ops.elementwise import broadcast


def inputs(arguments: Arguments) -> list[Shape]:
    """The shapes of all inputs that are there."""
    return _shapes(arguments["inputs"])


def outputs(arguments: Arguments) -> list[Shape]:
    """The shapes of all outputs that are there."""
    return _shapes(arguments["outputs"])


def operand(arguments: Arguments, index: int) -> TensorArg | None:
    """The input of that place; None where it is left out."""
    given = arguments["inputs"]
    return given[index] if index < len(given) else None


def shape(arguments: Arguments, index: int) -> Shape:
    """The shape of the input of that place. Raises ValueError where it is left out."""
    tensor = operand(arguments, index)
    if tensor is None:
        raise ValueError(f"the input of place {index} is left out")
    return tensor.shape


def _shapes(tensors: tuple[Any, ...]) -> list[Shape]:
    return [tensor.shape for tensor in tensors if isinstance(tensor, TensorArg)]


def elementwise(kind: str) -> Callable[[str, Arguments], Translation]:
    """The translation of an operator that makes each element of its output of one of each input."""

    def translation(_: str, arguments: Arguments) -> Translation:
        return kind, each_element(inputs(arguments), outputs(arguments))

    return translation


def each_element(taken: Sequence[Shape], given: Sequence[Shape]) -> dict[str, Any]:
    """Attributes of an elementwise call; outputs only where not one of the inputs' common shape.

    Outputs that are not known are taken for one of that shape.
    """
    try:
        common = broadcast(tuple(taken))
    except InputError:
        common = None
    attributes: dict[str, Any] = {"inputs": list(taken)}
    return (
        attributes
        if not given or list(given) == [common]
        else {**attributes, "outputs": list(given)}
    )
