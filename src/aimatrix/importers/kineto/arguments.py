"""The inputs of an operator in a trace as arguments, as a capture tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.kineto.events import Inputs, whole
from aimatrix.importers.overloads import NO_TENSOR, fitting
from aimatrix.importers.schemas import Schema, SchemaLookup

#: an operator's overload, and its arguments by name
Signature = tuple[str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Reads what a trace says of an operator's inputs.

    list_dtype: that of tensors in a list, of which a trace tells the shapes alone, where no other
    tensor of the same call tells it.
    """

    schemas: SchemaLookup
    attributes: Mapping[str, Sequence[str]]
    list_dtype: str

    def of(self, operator: str, inputs: Inputs | None) -> Signature | None:
        """The signature; None where an argument that determines the work cannot be told."""
        if inputs is None:
            return None
        try:
            schema = fitting(self.schemas(operator), inputs.kinds)
            if schema is None:
                return None
            return schema.overload, tuple(self._named(operator, schema, inputs))
        except (KeyError, TypeError, ValueError):
            return None

    def _named(self, operator: str, schema: Schema, inputs: Inputs) -> Iterator[tuple[str, Any]]:
        kept = self.attributes.get(operator, ())
        own = (torch_dtype(kind) for kind in inputs.kinds if kind not in NO_TENSOR)
        list_dtype = next(own, self.list_dtype)
        for name, wanted, kind, dims, text in zip(
            schema.names, schema.types, inputs.kinds, inputs.dims, inputs.texts, strict=True
        ):
            if "Tensor" in wanted:
                yield name, _tensors(kind, dims, list_dtype)
            elif name in kept:
                yield name, _constant(text, optional=wanted.startswith("Optional"))


def _tensors(kind: str, dims: Any, list_dtype: str) -> Any:
    if kind == "TensorList":
        if not dims:
            raise ValueError("a list too long to be in the trace")
        return tuple(TensorArg(_shape(each), list_dtype) for each in dims)
    if kind in NO_TENSOR:
        return None  # not given, or a number in a tensor's place
    return TensorArg(_shape(dims), torch_dtype(kind))


def _shape(dims: Any) -> tuple[int, ...]:
    shape = tuple(whole(size) for size in dims)
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape holds {min(shape)}")
    return shape


def _constant(text: str, *, optional: bool) -> Any:
    """A number, flag or list of a trace (``[1, 1]``); text is in no trace."""
    if text == "":
        if optional:
            return None
        raise ValueError("not in the trace")
    if text.startswith("["):
        items = text.removeprefix("[").removesuffix("]").split(",")
        return tuple(_constant(item.strip(), optional=False) for item in items if item.strip())
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.lstrip("-").isdecimal() else float(text)
