"""The inputs of a node of an execution trace as arguments, as a capture tells them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isfinite
from typing import Any, Protocol

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.overloads import fitting
from aimatrix.importers.schemas import Schema
from aimatrix.importers.shapes import is_possible

#: an operator's overload, and its arguments by name
Signature = tuple[str, tuple[tuple[str, Any], ...]]

#: bytes of the longest text that a capture tells
_LONGEST_TEXT = 64
_LISTS = ("GenericList[", "Tuple[")
_NO_TENSOR_THERE = "nullptr (uninitialized)"
_META = "meta"


class Inputs(Protocol):
    """What a node tells of an operator's inputs: a value, shape and type of each."""

    values: Any
    shapes: Any
    types: Any


def is_without_data(node: Inputs) -> bool:
    """Whether a call takes or makes tensors without data: it computes nothing."""
    for kind, value in zip(node.types, node.values, strict=False):
        if kind == "Device" and _device_type(value) == _META:
            return True
        if kind.startswith("Tensor(") and _device(value) == _META:
            return True
    return False


def overload_of(node: Inputs, overloads: Sequence[Schema]) -> Schema:
    """The overload that takes such inputs. Raises ValueError where there is none."""
    schema = fitting(overloads, [_plain_kind(kind) for kind in node.types])
    if schema is None:
        raise ValueError("no such overload")
    return schema


def signature_of(node: Inputs, schema: Schema, kept: Sequence[str]) -> Signature:
    """The overload and the arguments: all tensors, and what is ``kept`` besides.

    Raises ValueError, TypeError or KeyError where an input cannot be told.
    """
    return schema.overload, tuple(_named(node, schema, kept))


def _named(node: Inputs, schema: Schema, kept: Sequence[str]) -> Iterator[tuple[str, Any]]:
    inputs = zip(node.types, node.values, node.shapes, strict=True)
    for name, wanted, (kind, value, shape) in zip(schema.names, schema.types, inputs, strict=False):
        if "Tensor" in wanted:
            yield name, _tensors(kind, value, shape)
        elif name in kept:
            told, constant = _constant(kind, value)
            if told:
                yield name, constant


def _plain_kind(kind: str) -> str:
    """A type as a Kineto trace would have it."""
    if kind.startswith("Tensor("):
        return kind.removeprefix("Tensor(").removesuffix(")")
    if kind.startswith(_LISTS):
        return "TensorList" if "Tensor(" in kind else "ScalarList"
    return "" if kind in ("None", "String", "Device", "Generator", "Object") else "Scalar"


def _tensors(kind: str, value: Any, shape: Any) -> Any:
    if kind.startswith(_LISTS):
        items = zip(_items(kind), value, shape, strict=False)
        return tuple(_tensors(*item) for item in items)
    if not kind.startswith("Tensor("):
        return None  # not given, or a number in a tensor's place
    dtype = kind.removeprefix("Tensor(").removesuffix(")")
    if dtype == _NO_TENSOR_THERE:
        return None
    return TensorArg(_shape(shape), torch_dtype(dtype), _device(value) or "cpu")


def _shape(sizes: Any) -> tuple[int, ...]:
    shape = tuple(sizes)
    if not all(type(size) is int for size in shape) or not is_possible(shape):
        raise ValueError("no shape")
    return shape


def _device(value: Any) -> str:
    """The device type of a tensor: of [tensor, storage, offset, elements, bytes, "cuda:0"]."""
    return _device_type(value[5]) if isinstance(value, list) and len(value) > 5 else ""


def _device_type(name: Any) -> str:
    return str(name).partition(":")[0]


def _items(kind: str) -> list[str]:
    """The types in a list's type, ``GenericList[Tensor(float),None]``."""
    inner = kind.partition("[")[2].removesuffix("]")
    items, depth, start = [], 0, 0
    for place, character in enumerate(inner):
        if character == "," and depth == 0:
            items.append(inner[start:place])
            start = place + 1
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
    return [*items, inner[start:]] if inner else []


def _constant(kind: str, value: Any) -> tuple[bool, Any]:
    """Whether a capture would tell a number, flag, text or list of them; and the value."""
    if kind.startswith(_LISTS):
        if not isinstance(value, list):
            raise TypeError("no list")
        items = [_constant(*item) for item in zip(_items(kind), value, strict=False)]
        return all(told for told, _ in items), tuple(item for _, item in items)
    if kind == "None":
        return True, None
    if kind == "Bool" and isinstance(value, bool):
        return True, value
    if kind == "Int" and type(value) is int:
        return True, value
    if kind == "Double" and type(value) in (int, float):
        return isfinite(value), _unrounded(float(value))
    if kind == "String" and isinstance(value, str):
        return len(value.encode(errors="replace")) <= _LONGEST_TEXT and value.isprintable(), value
    return False, None


def _unrounded(value: float) -> float:
    """The number that a trace wrote with six decimals: the simplest one that is written so."""
    if not isfinite(value):
        return value
    simple = Fraction(value).limit_denominator(1000)
    return float(simple) if abs(simple - Fraction(value)) <= Fraction(1, 2_000_000) else value
