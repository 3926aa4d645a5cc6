"""The stages of a mix in PyTorch: which operators torch runs for them, on which operands."""

from __future__ import annotations

from dataclasses import dataclass

from aimatrix import ops
from aimatrix.backends import torch_blocks, torch_operators
from aimatrix.backends.blocks import is_warm
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.ops.operand import Role


@dataclass(frozen=True, slots=True)
class Step:
    """An operator of a block: how torch spells it, and what it takes, with the role of each.

    The dtype of an operand is None where it is that of the run.
    """

    spelling: torch_operators.Spelling
    operands: tuple[torch_blocks.Operand, ...]
    roles: tuple[Role, ...]


def build_stages(benchmark: MixBenchmark) -> list[torch_blocks.Stage]:
    """The stages; what is of the benchmark's dtype is of that of the run."""
    return [_stage(stage, benchmark.dtype) for stage in benchmark.stages]


def _stage(stage: MixStage, dtype: str) -> torch_blocks.Stage:
    block = [step.spelling.op(step.operands) for step in steps(stage, dtype)]
    times = (stage.multiplicity, stage.multiplicity_on_accelerators)
    return torch_blocks.Stage(stage.name, times, *block, repeats=stage.repeats)


def steps(stage: MixStage, dtype: str) -> list[Step]:
    """The operators of a stage; what is of ``dtype``, the benchmark's, is of that of the run."""
    pairs = zip(stage.calls, stage.operators, strict=True)
    return [_step(call, operator.sources, dtype) for call, operator in pairs]


def _step(call: OpCall, sources: tuple[int | None, ...], dtype: str) -> Step:
    own: str | None = call.dtype
    if call.dtype == dtype:
        # any floating point one does: they are spelled alike
        call, own = call.with_dtype("float32"), None
    taken = torch_operators.operands(call)
    if taken != ops.operands(call):
        sources = (None,) * len(taken)
    pairs = zip(taken, sources, strict=True)
    return Step(
        torch_operators.spelling(call),
        tuple(
            torch_operators.block_operand(operand, source, own, is_warm(call, operand))
            for operand, source in pairs
        ),
        tuple(operand.role for operand in taken),
    )
