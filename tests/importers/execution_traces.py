"""Small execution traces, as ExecutionTraceObserver writes them; hand-made, nothing recorded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: value, shape and type of an input
Input = tuple[Any, Any, str]
_RELU = "aten::relu(Tensor self) -> Tensor"


class NodeMaker:
    """Writes down what a program does: a node when it has ended, as torch does.

    is_flat: in the form of schemas before 1.0.2, where all is in fields of the node itself.
    """

    def __init__(self, schema: str = "1.1.1-chakra.0.0.4", *, is_flat: bool = False) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._schema = schema
        self._is_flat = is_flat
        self._ids = itertools.count(3)
        self._running = [2]
        self._write(2, 1, "[pytorch|profiler|execution_trace|thread]", "", 7, -1, ())

    @contextmanager
    def range(self, name: str, *, scope: int = 0) -> Iterator[None]:
        """A range that is no operator, with what runs inside."""
        with self.operator(name, "", scope=scope):
            yield

    @contextmanager
    def operator(
        self, name: str, schema: str, *inputs: Input, scope: int = 0, sequence: int = -1
    ) -> Iterator[None]:
        """An operator, with what runs inside."""
        number, parent = next(self._ids), self._running[-1]
        self._running.append(number)
        yield
        self._running.pop()
        self._write(number, parent, name, schema, scope, sequence, inputs)

    def relu(self, *shape: int, sequence: int = -1) -> None:
        """An operator that calls no other."""
        with self.operator("aten::relu", _RELU, self.tensor(*shape), sequence=sequence):
            pass

    def text(self) -> str:
        """The trace as the text of a file."""
        document = {"schema": self._schema, "pid": 7, "nodes": self.nodes, "finish_ts": 9}
        return json.dumps(document)

    @staticmethod
    def tensor(*shape: int, dtype: str = "float", device: str = "cpu") -> Input:
        """A tensor among the inputs of an operator."""
        return [10, 11, 0, 12, 4, device], list(shape), f"Tensor({dtype})"

    def _write(
        self,
        number: int,
        parent: int,
        name: str,
        schema: str,
        scope: int,
        sequence: int,
        inputs: tuple[Input, ...],
    ) -> None:
        values, shapes, types = (
            (list(column) for column in zip(*inputs, strict=True)) if inputs else ([], [], [])
        )
        attrs = {"scope": scope, "seq_id": sequence, "tid": 1, "fw_tid": 0, "op_schema": schema}
        if self._is_flat:
            taken = {"inputs": values, "input_shapes": shapes, "input_types": types}
            self.nodes.append({"name": name, "id": number, "parent": parent, **attrs, **taken})
            return
        self.nodes.append(
            {
                "id": number,
                "name": name,
                "ctrl_deps": parent,
                "inputs": {"values": values, "shapes": shapes, "types": types},
                "outputs": {"values": [], "shapes": [], "types": []},
                "attrs": [{"name": key, "type": "", "value": each} for key, each in attrs.items()],
            }
        )
