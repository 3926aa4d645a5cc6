"""What a rule is, and what the rules of all families read from an operator's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from aimatrix.dialects.raw import TensorArg

Arguments = Mapping[str, Any]
Shape = tuple[int, ...]
#: what a translation gives: the kind inside the family, and the family's attributes
Translation = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one operator is translated.

    reads: the arguments besides tensors that a capture has to keep for it. dtype_of: the tensor
    whose dtype is the call's; the first one unless given.
    """

    family: str
    translate: Callable[[str, Arguments], Translation]
    reads: tuple[str, ...] = ()
    dtype_of: str | None = None


def same(rule: Rule, names: str) -> dict[str, Rule]:
    """One rule under each of ``names``, which are separated by spaces."""
    return dict.fromkeys(names.split(), rule)


def tensors(arguments: Arguments) -> Iterator[TensorArg]:
    """All tensors that an operator took, those of lists too, in the order of its schema."""
    for name, value in arguments.items():
        if name == "out":
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, TensorArg):
                yield item


def shapes(arguments: Arguments, *names: str) -> list[Shape]:
    """The shapes of the tensors of these names, of those that are there; of all without names."""
    chosen = {name: arguments.get(name) for name in names} if names else arguments
    return [tensor.shape for tensor in tensors(chosen)]


def elements(arguments: Arguments, *names: str) -> int:
    """How many elements the tensors of these names have together."""
    return sum(prod(shape) for shape in shapes(arguments, *names)) if names else 0


def per_side(value: Any, rank: int, default: int) -> tuple[int, ...]:
    """An argument that is one number for all dimensions, a number for each, or left out."""
    if value is None or value == ():
        return (default,) * rank
    values = value if isinstance(value, tuple) else (value,)
    return values * rank if len(values) == 1 else values


def batched(shape: Shape, rank: int) -> tuple[int, int, Shape]:
    """(batch, channels, sides) of an input that may lack its batch."""
    whole = shape if len(shape) == rank + 2 else (1, *shape)
    if len(whole) != rank + 2:
        raise ValueError(f"an input of rank {len(shape)} for {rank} dimensions")
    return whole[0], whole[1], whole[2:]


def axes(dim: Any) -> tuple[int, ...]:
    """An argument that is one axis, several, or none given."""
    if dim is None:
        return ()
    return dim if isinstance(dim, tuple) else (dim,)


def broadcast(a: Shape, b: Shape) -> Shape:
    """The common shape of two that broadcast."""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    return tuple(max(sizes) for sizes in zip(a, b, strict=True))
