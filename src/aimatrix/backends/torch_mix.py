"""The stages of a mix in PyTorch: blocks of operators on tensors of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from aimatrix.backends import torch_operators
from aimatrix.model.block import BlockOperator
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.ops.operand import Operand, activation


@dataclass(frozen=True, slots=True)
class _Step:
    """An operator of a block: what runs it, and where each of its operands comes from."""

    function: torch_operators.Function
    operands: tuple[Operand, ...]
    sources: tuple[int | None, ...]
    dtype: str
    phase: str

    @property
    def own(self) -> list[Operand]:
        """Operands that no other operator puts out."""
        pairs = zip(self.operands, self.sources, strict=True)
        return [operand for operand, source in pairs if source is None]

    def is_shared(self, operand: Operand) -> bool:
        """Whether an operand of its own is one that was just written."""
        return self.phase == "forward" and operand.role == "activation"


class Stage:
    """One stage: its block of operators, once for each of ``repeats`` sets of weights."""

    def __init__(self, stage: MixStage, steps: Sequence[_Step], tensors: _Tensors) -> None:
        self._steps = steps
        self._repeats = stage.repeats
        self.tensors = [each for _ in range(stage.repeats) for each in tensors.of(steps)]

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
    laid_out = [
        [_step(each, _cast(each.call, benchmark.dtype, dtype)) for each in stage.operators]
        for stage in benchmark.stages
    ]
    tensors = _Tensors(laid_out)
    pairs = zip(benchmark.stages, laid_out, strict=True)
    return [Stage(stage, steps, tensors) for stage, steps in pairs]


class _Tensors:
    """Makes the tensors that blocks begin with.

    What arrives from another operator of an application has just been written, so that it is in a
    cache if it fits. Activations of the forward phase are therefore parts of one piece of memory,
    which all stages share. Weights, and what waited for a backward pass, are tensors of their own.
    """

    def __init__(self, laid_out: Sequence[Sequence[_Step]]) -> None:
        self._random = torch.Generator().manual_seed(0)
        self._shared: dict[str, torch.Tensor] = {}
        for steps in laid_out:
            for dtype, elements in _shared_elements(steps).items():
                if dtype not in self._shared or len(self._shared[dtype]) < elements:
                    self._shared[dtype] = self._new(activation(elements), dtype)

    def of(self, steps: Sequence[_Step]) -> list[torch.Tensor]:
        """Those of one block."""
        used: Counter[str] = Counter()
        tensors = []
        for step in steps:
            for operand in step.own:
                if step.is_shared(operand):
                    dtype = operand.dtype or step.dtype
                    flat = self._shared[dtype][used[dtype] :][: prod(operand.shape)]
                    used[dtype] += _aligned(operand)
                    tensors.append(flat.view(operand.shape))
                else:
                    tensors.append(self._new(operand, step.dtype))
        return tensors

    def _new(self, operand: Operand, dtype: str) -> torch.Tensor:
        return torch_operators.tensor(operand, dtype, self._random)


def _shared_elements(steps: Sequence[_Step]) -> Counter[str]:
    """Elements of each dtype that a block needs of the memory that all share."""
    elements: Counter[str] = Counter()
    for step in steps:
        for operand in step.own:
            if step.is_shared(operand):
                elements[operand.dtype or step.dtype] += _aligned(operand)
    return elements


def _aligned(operand: Operand) -> int:
    """Elements of an operand, so that the next one begins on a line of any cache."""
    return -(-prod(operand.shape) // 64) * 64


def _step(operator: BlockOperator, call: OpCall) -> _Step:
    operands = torch_operators.operands(call)
    sources = operator.sources
    if torch_operators.stands_in(call):
        sources = (None,) * len(operands)
    return _Step(torch_operators.function(call), operands, sources, call.dtype, call.phase)


def _as(value: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """What an operator puts out in the shape in which another takes it: its first elements."""
    tensor: torch.Tensor = value if isinstance(value, torch.Tensor) else value[0]
    if tensor.shape == shape:
        return tensor
    elements = prod(shape)
    flat = tensor.reshape(-1)
    return (flat if len(flat) == elements else flat[:elements]).view(shape)


def _cast(call: OpCall, old: str, new: str) -> OpCall:
    return call.with_dtype(new) if call.dtype == old else call
