"""What the rules of all families read from the arguments of one of PyTorch's operators."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same, tensors

__all__ = [
    "Arguments",
    "Rule",
    "Shape",
    "Translation",
    "axes",
    "batched",
    "broadcast",
    "elements",
    "per_side",
    "quantised",
    "same",
    "shapes",
    "tensors",
]


def quantised(rule: Rule, **spelled: str) -> Rule:
    """``rule`` for an operator of ``quantized::``, which spells some arguments in ways of its own.

    spelled: as ``rule`` knows an argument -> as the operator spells it (``input="qx"``).
    """

    def translation(name: str, arguments: Arguments) -> Translation:
        renamed = {own: name for name, own in spelled.items()}
        known = {renamed.get(own, own): value for own, value in arguments.items()}
        return rule.translate(name.removeprefix("quantized::"), known)

    return Rule(rule.family, translation, rule.reads)


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
