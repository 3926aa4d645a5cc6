"""Who consumes whose output in a run of an ONNX model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aimatrix import ops
from aimatrix.dialects import onnx as dialect
from aimatrix.dialects.raw import RawCall
from aimatrix.importers.onnx.steps import Step


class Pairs:
    """Counts them, step by step. A view has the producer of what it shows.

    Inside of a fused step, a tensor is known by its object: what is reshaped on the way has no
    producer any more.
    """

    def __init__(self) -> None:
        self._producers: dict[int, int] = {}  # by the identity of the value
        self._counted: Counter[tuple[int, int]] = Counter()

    def add(self, step: Step, whole: RawCall, parts: Sequence[tuple[RawCall, int]]) -> None:
        """Take note of a step. parts: the calls that ``whole`` stands for, and their places."""
        given = [self._producers.get(id(value)) for value in step.inputs]
        known = dict(zip(_tensors(whole, "inputs"), given, strict=False))
        taken = {tensor for part, _ in parts for tensor in _tensors(part, "inputs")}
        # what no part takes as it is goes to the first
        sources = {source for tensor, source in known.items() if tensor not in taken}
        if not known:
            sources = set(given)
        producer: int | None = None
        for part, place in parts:
            inputs = _tensors(part, "inputs")
            sources |= {known.get(tensor) for tensor in inputs}
            producer = place
            if ops.is_view(dialect.translate(part)):
                producer = known.get(inputs[0]) if inputs else None
            else:
                self._count(sources, place, step.times)
            known.update(dict.fromkeys(_tensors(part, "outputs"), producer))
            sources = set()
        for value in step.outputs:
            if producer is not None:
                self._producers[id(value)] = producer

    def counted(self) -> list[tuple[int, int, int]]:
        """Places of producer and consumer, and how often."""
        return [(producer, consumer, n) for (producer, consumer), n in self._counted.items()]

    def _count(self, producers: Iterable[int | None], consumer: int, times: int) -> None:
        for producer in producers:
            if producer is not None:
                self._counted[producer, consumer] += times


def _tensors(raw: RawCall, name: str) -> list[int]:
    """The identities of the tensors that a call takes or makes."""
    return [id(tensor) for tensor in raw.arguments.get(name, ())]
