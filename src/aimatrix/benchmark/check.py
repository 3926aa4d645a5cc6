"""Checks that a specification states the work that its layers do, and no other."""

from __future__ import annotations

from math import prod

from aimatrix import ops
from aimatrix.benchmark.added import added_work
from aimatrix.benchmark.layout import layer_call
from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage


def check_work(benchmark: Benchmark) -> None:
    """Raise InputError naming the first field whose MACs, warps or bytes are not those done."""
    for number, stage in enumerate(benchmark.stages):
        for index, layer in enumerate(stage.layers):
            field = f"stages.{number}.layers.{index}"
            try:
                cost = ops.cost(layer_call(stage, layer, benchmark.batch))
            except InputError as error:
                raise InputError(f"field {field}: {error}") from error
            _expect(f"{field}.macs", layer.macs, cost.macs)
            _expect(f"{field}.warps", layer.warps, cost.warps)
        _expect(f"stages.{number}.macs", stage.macs, sum(layer.macs for layer in stage.layers))
        _expect(f"stages.{number}.warps", stage.warps, sum(layer.warps for layer in stage.layers))
    added = added_work(benchmark.stages, benchmark.batch, benchmark.dtype)
    _expect("added.operators", benchmark.added.operators, added.operators)
    _expect("added.bytes", benchmark.added.bytes, added.bytes)


def check_mix(benchmark: MixBenchmark) -> None:
    """Raise InputError naming the first field whose MACs, bytes or warps are not those done."""
    for number, stage in enumerate(benchmark.stages):
        field = f"stages.{number}"
        try:
            costs = [ops.cost(call) for call in stage.calls]
            check_sources(stage)
        except (InputError, TypeError) as error:
            raise InputError(f"field {field}.operators: {error}") from error
        repeats = stage.repeats
        _expect(f"{field}.macs", stage.macs, repeats * sum(cost.macs or 0 for cost in costs))
        _expect(f"{field}.bytes", stage.bytes, repeats * sum(cost.bytes for cost in costs))
        _expect(f"{field}.warps", stage.warps, repeats * sum(cost.warps or 0 for cost in costs))


def check_sources(stage: MixStage) -> None:
    """Raise InputError unless each operand has a source that is large enough, or is its own."""
    calls = stage.calls
    for operator, call in zip(stage.operators, calls, strict=True):
        if len(operator.sources) != len(ops.alone(call)):
            raise InputError(
                f"a {call.kind} takes {len(ops.alone(call))} tensors, not {len(operator.sources)}"
            )
        operands = ops.operands(call) or ()
        for operand, source in zip(operands, operator.sources, strict=False):
            if source is not None and _elements(calls[source]) < prod(operand.shape):
                raise InputError(f"a {call.kind} takes more elements than its source puts out")


def _elements(call: OpCall) -> int:
    """What a call puts out; 0 where that is not known, or is a copy in the place of a call."""
    shape = ops.output_shape(call) if ops.operands(call) else None
    return 0 if shape is None else prod(shape)


def _expect(field: str, stated: int, done: int | None) -> None:
    if stated != done:
        raise InputError(
            f"field {field}: states {stated:,} where the layers do {done:,}; synthesize it again"
        )
