"""Checks that a specification states the work that its layers do, and no other."""

from __future__ import annotations

from math import prod

from aimatrix import ops
from aimatrix.benchmark.added import added_work
from aimatrix.benchmark.layout import layer_call
from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.block import Block
from aimatrix.model.mix import MixBenchmark
from aimatrix.ops import blocks


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
            block = stage.block
            cost = blocks.cost(block)
            _check_sources(block)
        except (InputError, TypeError) as error:
            raise InputError(f"field {field}.operators: {error}") from error
        repeats = stage.repeats
        _expect(f"{field}.macs", stage.macs, repeats * (cost.macs or 0))
        _expect(f"{field}.bytes", stage.bytes, repeats * cost.bytes)
        _expect(f"{field}.warps", stage.warps, repeats * (cost.warps or 0))


def _check_sources(block: Block) -> None:
    """Raise InputError unless each operand has a source that is large enough, or is its own."""
    for call, sources in zip(block.calls, block.sources, strict=True):
        expected = len(ops.alone(call))
        if len(sources) != expected:
            raise InputError(f"a {call.kind} takes {expected} tensors, not {len(sources)}")
        for operand, source in zip(ops.operands(call) or (), sources, strict=False):
            if source is not None and blocks.put_out(block.calls[source]) < prod(operand.shape):
                raise InputError(f"a {call.kind} takes more elements than its source puts out")


def _expect(field: str, stated: int, done: int | None) -> None:
    if stated != done:
        raise InputError(
            f"field {field}: states {stated:,} where the layers do {done:,}; synthesize it again"
        )
