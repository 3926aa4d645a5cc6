"""The inputs of an operator in a trace as arguments, as a capture tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.kineto.events import Inputs, whole
from aimatrix.importers.kineto.recovery import LISTS
from aimatrix.importers.overloads import NO_TENSOR, fitting
from aimatrix.importers.schemas import Schema, SchemaLookup
from aimatrix.importers.shapes import is_possible

#: an operator's overload, and its arguments by name
Signature = tuple[str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Reads what a trace says of an operator's inputs."""

    schemas: SchemaLookup
    attributes: Mapping[str, Sequence[str]]

    def of(
        self, operator: str, inputs: Inputs, list_dtype: str, given: Mapping[str, Any]
    ) -> Signature | None:
        """The signature; None where an argument that determines the work cannot be told.

        list_dtype: that of tensors in a list, of which a trace tells the shapes alone, where no
        other tensor of the same call tells it. given: arguments that are known otherwise, as
        `recovery` finds them. Of an operator without a schema, tensors are named by their places.
        """
        try:
            overloads = self.schemas(operator)
            own = (torch_dtype(kind) for kind in inputs.kinds if kind not in NO_TENSOR)
            lists = iter(given.get(LISTS, ()))
            reader = _Reader(next(own, list_dtype), given, lists, inputs.has_lists)
            if not overloads:
                return ("", tuple(reader.unnamed(inputs))) if inputs.kinds else None
            schema = fitting(overloads, inputs.kinds)
            if schema is None:
                return None
            kept = self.attributes.get(operator, ())
            return schema.overload, tuple(reader.named(schema, inputs, kept))
        except (KeyError, TypeError, ValueError):
            return None

    def names(self, operator: str, inputs: Inputs) -> tuple[str, ...]:
        """The names of an operator's arguments; none where its schema is not known."""
        schema = fitting(self.schemas(operator), inputs.kinds)
        return schema.names if schema else ()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the inputs of one call.

    has_short_lists: some of its lists of tensors are in the trace, so that one that is not is
    empty: all that a call takes are equally long.
    """

    list_dtype: str
    given: Mapping[str, Any]
    long_lists: Iterator[tuple[TensorArg, ...]]
    has_short_lists: bool

    def named(
        self, schema: Schema, inputs: Inputs, kept: Sequence[str]
    ) -> Iterator[tuple[str, Any]]:
        columns = (schema.names, schema.types, inputs.kinds, inputs.dims, inputs.texts)
        for name, wanted, kind, dims, text in zip(*columns, strict=True):
            if "Tensor" in wanted:
                # of optional tensors in a list a trace says nothing
                untold = kind == "" and wanted.startswith("List[")
                untold |= kind == "TensorList" and name in self.given
                yield name, self.given.get(name) if untold else self._tensors(kind, dims)
            elif name in kept and not _is_untellable(name, wanted):
                untold = text == "" and name in self.given
                optional = wanted.startswith("Optional")
                yield name, self.given[name] if untold else _constant(text, optional=optional)

    def unnamed(self, inputs: Inputs) -> Iterator[tuple[str, Any]]:
        for place, (kind, dims) in enumerate(zip(inputs.kinds, inputs.dims, strict=True)):
            if kind not in ("", "Scalar", "ScalarList"):
                yield str(place), self._tensors(kind, dims)

    def _tensors(self, kind: str, dims: Any) -> Any:
        if kind == "TensorList":
            if not dims and self.has_short_lists:
                return ()
            if not dims:  # too long to be in the trace
                found = next(self.long_lists, None)
                if found is None:
                    raise ValueError("a list that is told nowhere")
                return found
            return tuple(TensorArg(_shape(each), self.list_dtype) for each in dims)
        if kind in NO_TENSOR:
            return None  # not given, or a number in a tensor's place
        return TensorArg(_shape(dims), torch_dtype(kind))


def _is_untellable(name: str, wanted: str) -> bool:
    """Whether a capture asks an object of the process: packed weights, a group of processes."""
    return "__torch__." in wanted or name == "group_name"


def _shape(dims: Any) -> tuple[int, ...]:
    shape = tuple(whole(size) for size in dims)
    if not is_possible(shape):
        raise ValueError("no shape")
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
