"""The stages of a mix in PyTorch: chains of single operators on tensors of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from aimatrix.backends import torch_operators
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage


class Stage:
    """One stage: its chain of operators, once for each of ``repeats`` sets of tensors."""

    def __init__(self, stage: MixStage, calls: Sequence[OpCall], random: torch.Generator) -> None:
        self._functions = [torch_operators.function(call) for call in calls]
        self._repeats = stage.repeats
        own = [
            torch_operators.operands(call)[int(number > 0) :] for number, call in enumerate(calls)
        ]
        self._counts = [len(operands) for operands in own]
        self.tensors = [
            torch_operators.tensor(operand, call.dtype, random)
            for _ in range(stage.repeats)
            for call, operands in zip(calls, own, strict=True)
            for operand in operands
        ]

    def run(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        """Run on ``tensors``, which are like `tensors`; what each chain puts out."""
        outputs = []
        place = 0
        for _ in range(self._repeats):
            output: tuple[Any, ...] = ()
            for function, count in zip(self._functions, self._counts, strict=True):
                output = (function(*output, *tensors[place : place + count]),)
                place += count
            outputs.append(output[0])
        return outputs


def build_stages(benchmark: MixBenchmark, dtype: str) -> list[Stage]:
    """The stages; what is of the benchmark's dtype is of ``dtype``."""
    random = torch.Generator().manual_seed(0)
    return [
        Stage(stage, [_cast(call, benchmark.dtype, dtype) for call in stage.calls], random)
        for stage in benchmark.stages
    ]


def _cast(call: OpCall, old: str, new: str) -> OpCall:
    return call.with_dtype(new) if call.dtype == old else call
