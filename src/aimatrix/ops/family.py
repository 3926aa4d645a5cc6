"""What every operator family offers: a check of its attributes, a shape rule and a cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.dtypes import bits
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand

#: features, rows of a product: kernels are blocked in tiles of about as many
LEAST_WIDTH = 64

Check = Callable[[Any], bool]


class Family(ABC):
    """One operator family. Subclasses are stateless; `cost` and `output_shape` are pure."""

    name: str
    #: attribute name -> what it must be; all are required.
    required: dict[str, Check] = {}
    #: what its calls cost, in words: a line each in docs/operators.md
    formulas: tuple[Formula, ...]

    def cost(self, call: OpCall) -> Cost:
        """The cost of a call. Raises InputError naming the attribute that is missing or wrong."""
        self.check(call)
        width = bits(call.dtype)
        if width % 8 == 0:
            return self._cost(call, width // 8)
        return _packed(self._cost(call, 1), self._cost(call, 2), width)

    def output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        """Shape of the output, batch first; None where the inputs do not determine it."""
        self.check(call)
        return self._output_shape(call)

    def input_size(self, call: OpCall) -> float | None:
        """The size by which calls of this family are grouped; None: all form one group."""
        return None

    def from_shapes(
        self, kind: str, shapes: Sequence[tuple[int, ...]], options: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """(kind, attributes) of an operator that takes tensors of ``shapes``.

        For families whose operators need no translation of their own in a dialect: a line in its
        table is enough (`aimatrix.dialects.rule.by_shapes`). kind and options are the dialect's
        words for what the operator does. Raises InputError where that makes no operator.
        """
        raise InputError(f"shapes alone do not tell what a {kind} does")

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """What the call reads, in the order in which backends take it.

        None for calls that no backend lays out: a benchmark has a copy of as many bytes in their
        place.
        """
        return None

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """The sizes of the call that a search may change, each at least 1; none for most kinds."""
        return ()

    def least_widths(self, call: OpCall) -> tuple[int, ...]:
        """For each of `widths`, below what it makes kernels slower for each of its elements."""
        return (LEAST_WIDTH,) * len(self.widths(call))

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """For each of `widths`, whether it counts how often the same is done: items, rows, steps.

        A change of it changes a call's time most evenly; of another one, kernels change too.
        """
        return (True,) * len(self.widths(call))

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """The same kind of call with other `widths`."""
        return call

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """The same kind of call whose operand number ``position`` has ``shape``, as many axes.

        The other operands change with it. None for families whose calls only lead a block: none of
        them follows when what it takes gets another size.
        """
        return None

    def check(self, call: OpCall) -> None:
        """Raise InputError unless every required attribute is there and well formed."""
        self.check_attributes(call, self.required)

    def check_attributes(self, call: OpCall, required: Mapping[str, Check]) -> None:
        """Raise InputError unless all of ``required`` are there and well formed."""
        attributes = dict(call.attributes)
        for attribute, accepts in required.items():
            if attribute not in attributes:
                raise InputError(f"a {call.kind} lacks its attribute {attribute}")
            if not accepts(attributes[attribute]):
                raise InputError(
                    f"a {call.kind} has a bad attribute {attribute}: {attributes[attribute]!r}"
                )

    @abstractmethod
    def _cost(self, call: OpCall, itemsize: int) -> Cost: ...

    @abstractmethod
    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None: ...


def _packed(at_one_byte: Cost, at_two: Cost, width: int) -> Cost:
    """The cost with elements of ``width`` bits, less than a byte, rounded up to whole bytes.

    Bytes grow evenly with those of an element: what the second byte adds, a part of one lacks.
    """

    def bytes_of(one: int, two: int) -> int:
        return one - (two - one) * (8 - width) // 8

    return replace(
        at_one_byte,
        bytes_read=bytes_of(at_one_byte.bytes_read, at_two.bytes_read),
        bytes_written=bytes_of(at_one_byte.bytes_written, at_two.bytes_written),
    )


def is_count(value: Any) -> bool:
    """A whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_size(value: Any) -> bool:
    """A whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_flag(value: Any) -> bool:
    """True or False."""
    return isinstance(value, bool)


def is_shape(value: Any) -> bool:
    """A tuple of sizes of at least 0."""
    return isinstance(value, tuple) and all(is_size(item) for item in value)


def is_counts(value: Any) -> bool:
    """A non-empty tuple of whole numbers of at least 1."""
    return isinstance(value, tuple) and len(value) > 0 and all(is_count(item) for item in value)


def is_sizes(value: Any) -> bool:
    """A non-empty tuple of sizes of at least 0."""
    return is_shape(value) and len(value) > 0


def is_shapes(value: Any) -> bool:
    """A tuple of shapes."""
    return isinstance(value, tuple) and all(is_shape(item) for item in value)
