"""A node that is read by the places of its tensors, and the plain calls that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.dialects.rule import Shape


class Parts:
    """A fused call, and the plain ones that it stands for, in the order in which they are made."""

    def __init__(self, raw: RawCall) -> None:
        self._raw = raw
        #: None for an input that is left out
        self.inputs: tuple[TensorArg | None, ...] = tuple(raw.arguments["inputs"])
        self._outputs: tuple[Any, ...] = tuple(raw.arguments.get("outputs", ()))
        self.calls: list[RawCall] = []

    @property
    def name(self) -> str:
        """The fused call's own name."""
        return self._raw.name

    def input(self, place: int) -> TensorArg | None:
        """The fused call's input of that place; None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def given(self, place: int) -> TensorArg:
        """As `input`. Raises ValueError where it is left out."""
        tensor = self.input(place)
        if tensor is None:
            raise ValueError(f"{self._raw.name} lacks its input of place {place}")
        return tensor

    def output(self, place: int = 0) -> TensorArg | None:
        """The fused call's output of that place; None where it has no such."""
        return self._outputs[place] if place < len(self._outputs) else None

    def result(self) -> TensorArg:
        """The fused call's first output. Raises IndexError where it has none."""
        tensor: TensorArg = self._outputs[0]
        return tensor

    def attribute(self, name: str, default: Any = None) -> Any:
        """The fused call's attribute of that name."""
        return self._raw.arguments.get(name, default)

    def attributes(self, *without: str) -> dict[str, Any]:
        """All attributes of the fused call but these."""
        left_out = ("inputs", "outputs", *without)
        return {name: of for name, of in self._raw.arguments.items() if name not in left_out}

    def call(
        self,
        operator: str,
        inputs: Sequence[TensorArg | None],
        output: TensorArg,
        **attributes: Any,
    ) -> TensorArg:
        """Add a call of ``operator``, and return what it gives."""
        name = operator if "::" in operator else f"onnx::{operator}"
        arguments = {"inputs": tuple(inputs), "outputs": (output,), **attributes}
        self.calls.append(
            RawCall(name, arguments, phase=self._raw.phase, dialect=self._raw.dialect)
        )
        return output

    def whole(self) -> None:
        """Add the fused call as it is: it is no fused one after all."""
        self.calls.append(self._raw)

    def each(
        self, operator: str, *inputs: TensorArg, output: TensorArg | None = None, **attributes: Any
    ) -> TensorArg:
        """Add an elementwise call, whose output is as its first input unless given."""
        return self.call(operator, inputs, output or inputs[0], **attributes)


def shaped(tensor: TensorArg, shape: Sequence[int], dtype: str | None = None) -> TensorArg:
    """A tensor of another shape, or dtype too, where ``tensor`` is."""
    sizes: Shape = tuple(shape)
    return replace(tensor, shape=sizes, dtype=dtype or tensor.dtype)
