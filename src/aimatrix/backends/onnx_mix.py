"""The stages of a mix as ONNX models: blocks of operators on tensors of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from aimatrix.backends import onnx_operators
from aimatrix.backends.blocks import is_warm, trains
from aimatrix.backends.onnx_graph import Graph, OnnxModel, Value
from aimatrix.backends.torch_blocks import Memory
from aimatrix.backends.torch_operators import block_operand
from aimatrix.errors import UnsupportedError
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.model.operators import BlockOperator
from aimatrix.ops.operand import Operand

#: what stages are computed in; a runtime that is to compute in less converts from it
DTYPE = "float32"


def build_stages(benchmark: MixBenchmark) -> Iterator[tuple[int, OnnxModel]]:
    """The stages that do not train, with their numbers; each is made when it is asked for.

    Raises UnsupportedError where all of them train.
    """
    memory = Memory()
    for number in _that_infer(benchmark):
        yield number, build_stage(benchmark.stages[number], (benchmark.dtype, DTYPE), memory)


def build_together(benchmark: MixBenchmark) -> tuple[OnnxModel, dict[str, int]]:
    """The stages that do not train as one model, without a tie from one to another.

    With the scope of each: names of its nodes begin with it. The outputs are those of the stages,
    one after another. Raises UnsupportedError as `build_stages` does.
    """
    graph, memory = Graph(), Memory()
    scopes = {f"stage_{number}/": number for number in _that_infer(benchmark)}
    for scope, number in scopes.items():
        graph.scope = scope
        _append(graph, benchmark.stages[number], (benchmark.dtype, DTYPE), memory)
    return graph.model("aimatrix_mix"), scopes


def _that_infer(benchmark: MixBenchmark) -> list[int]:
    infer = [number for number, stage in enumerate(benchmark.stages) if not trains(stage)]
    if not infer:
        raise UnsupportedError("all stages of the mix train, which runtimes of ONNX do not")
    return infer


def build_stage(stage: MixStage, dtypes: tuple[str, str], memory: Memory) -> OnnxModel:
    """The block of a stage, ``repeats`` times.

    Outputs: first what each block puts out at its end, then what nobody takes inside of them, so
    that no runtime leaves an operator out.
    """
    graph = Graph()
    _append(graph, stage, dtypes, memory)
    return graph.model("aimatrix_mix_stage")


def _append(graph: Graph, stage: MixStage, dtypes: tuple[str, str], memory: Memory) -> None:
    calls = _calls(stage, *dtypes)
    ends: list[Value] = []
    others: list[Value] = []
    for _ in range(stage.repeats):
        values = _block(graph, stage.operators, calls, memory)
        taken = {source for each in stage.operators for source in each.sources}
        ends += values[-1]
        for number, (first, *more) in enumerate(values[:-1]):
            others += more if number in taken else [first, *more]
    for value in _made(graph, [*ends, *others]):
        graph.output(value)


def _calls(stage: MixStage, old: str, new: str) -> list[OpCall]:
    """The calls of a stage; what is of the dtype ``old`` is of ``new``."""
    return [call.with_dtype(new) if call.dtype == old else call for call in stage.calls]


def _made(graph: Graph, values: Sequence[Value]) -> list[Value]:
    """Those that nodes make: not views of what comes from outside, nor fills, which are constants.

    A graph does nothing for these, and to put them out would be copies that no application makes.
    Where there are no others, an element of the first, as a graph has to put out something.
    """
    made = [value for value in values if graph.makes(value)]
    if made:
        return made
    element = onnx_operators.first(graph, values[0], (min(1, values[0].elements),))
    return [graph.node("Identity", element)]


def _block(
    graph: Graph,
    operators: Sequence[BlockOperator],
    calls: Sequence[OpCall],
    memory: Memory,
) -> list[Sequence[Value]]:
    """What each operator puts out."""
    values: list[Sequence[Value]] = []
    used: dict[str, int] = {}
    for operator, call in zip(operators, calls, strict=True):
        operands = onnx_operators.operands(call)
        sources: Sequence[int | None] = operator.sources
        if onnx_operators.stands_in(call):
            sources = (None,) * len(operands)
        taken = [
            _own(
                graph,
                operand,
                memory.given(
                    block_operand(operand, None, call.dtype, is_warm(call, operand)),
                    call.dtype,
                    used,
                ),
            )
            if source is None
            else _as(graph, values[source][0], operand, call.dtype)
            for operand, source in zip(operands, sources, strict=True)
        ]
        values.append(onnx_operators.lower(graph, call, taken))
    return values


def _own(graph: Graph, operand: Operand, tensor: torch.Tensor) -> Value:
    array: np.ndarray = tensor.numpy()
    if not array.size:  # some runtimes drop an input without a number in it
        return graph.constant(array, array.dtype.name)
    return graph.weight(array) if operand.role == "weight" else graph.input(array)


def _as(graph: Graph, value: Value, operand: Operand, dtype: str) -> Value:
    """What an operator puts out in the shape and dtype in which another takes it."""
    return graph.cast(onnx_operators.first(graph, value, operand.shape), operand.dtype or dtype)
