"""An operator that a run of a model executes, with the tensors it takes and makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnx import NodeProto

from aimatrix.importers.onnx.values import Value

#: what the format calls its own domain
OWN_DOMAINS = ("", "ai.onnx")


@dataclass(slots=True, eq=False)
class Step:
    """A node as one run executes it.

    inputs: by place, None where left out. times: how often a run executes it. opaque:
    nothing tells what it does inside (a loop of unknown length).
    """

    node: NodeProto
    inputs: list[Value | None]
    outputs: list[Value]
    times: int = 1
    opaque: bool = False

    @property
    def operator(self) -> str:
        """Its name, with its domain unless that is ONNX's own."""
        if self.node.domain in OWN_DOMAINS:
            return str(self.node.op_type)
        return f"{self.node.domain}::{self.node.op_type}"


def readers(steps: Iterable[Step], outputs: Sequence[Value]) -> Counter[int]:
    """How often each tensor (by its identity) is read; being an output of the model counts."""
    counted = Counter(id(value) for value in outputs)
    for step in steps:
        counted.update(id(value) for value in step.inputs if value is not None)
    return counted
