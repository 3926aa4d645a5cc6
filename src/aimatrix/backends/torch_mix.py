"""The stages of a mix in PyTorch: blocks of operators on tensors of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from aimatrix.backends import torch_operators
from aimatrix.backends.blocks import calls_of
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import BlockOperator, MixBenchmark, MixStage
from aimatrix.ops.operand import Operand


@dataclass(frozen=True, slots=True)
class _Step:
    """An operator of a block: what runs it, and where each of its operands comes from."""

    function: torch_operators.Function
    operands: tuple[Operand, ...]
    sources: tuple[int | None, ...]

    @property
    def own(self) -> list[Operand]:
        """Operands that no other operator puts out."""
        pairs = zip(self.operands, self.sources, strict=True)
        return [operand for operand, source in pairs if source is None]


class Stage:
    """One stage: its block of operators, once for each of ``repeats`` sets of tensors."""

    def __init__(self, stage: MixStage, dtypes: tuple[str, str], random: torch.Generator) -> None:
        calls = calls_of(stage, *dtypes)
        self._steps = [_step(each, call) for each, call in zip(stage.operators, calls, strict=True)]
        self._repeats = stage.repeats
        self.tensors = [
            torch_operators.tensor(operand, call.dtype, random)
            for _ in range(stage.repeats)
            for call, step in zip(calls, self._steps, strict=True)
            for operand in step.own
        ]

    def run(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        """Run on ``tensors``, which are like `tensors`; what each block puts out at its end."""
        outputs = []
        own = iter(tensors)
        for _ in range(self._repeats):
            values: list[Any] = []
            for step in self._steps:
                taken = [
                    next(own) if source is None else _as(values[source], operand.shape)
                    for operand, source in zip(step.operands, step.sources, strict=True)
                ]
                values.append(step.function(*taken))
            outputs.append(values[-1])
        return outputs


def build_stages(benchmark: MixBenchmark, dtype: str) -> list[Stage]:
    """The stages; what is of the benchmark's dtype is of ``dtype``."""
    random = torch.Generator().manual_seed(0)
    return [Stage(stage, (benchmark.dtype, dtype), random) for stage in benchmark.stages]


def _step(operator: BlockOperator, call: OpCall) -> _Step:
    operands = torch_operators.operands(call)
    sources = operator.sources
    if torch_operators.stands_in(call):
        sources = (None,) * len(operands)
    return _Step(torch_operators.function(call), operands, sources)


def _as(value: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """What an operator puts out in the shape in which another takes it: its first elements."""
    tensor: torch.Tensor = value if isinstance(value, torch.Tensor) else value[0]
    if tensor.shape == shape:
        return tensor
    elements = prod(shape)
    flat = tensor.reshape(-1)
    return (flat if len(flat) == elements else flat[:elements]).view(shape)
