"""The convolutions on both sides of a comparison: those of an application, and the benchmark's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aimatrix import ops
from aimatrix.analysis.grouping import nearest_center
from aimatrix.benchmark.layout import layer_call
from aimatrix.dialects import aten
from aimatrix.dialects.pairs import translated
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.recording import Recording
from aimatrix.monitoring.in_process import record_application


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> Recording:
    """What ``function`` calls on ``inputs``, and who consumes whose output there. Needs torch."""
    recorded = record_application(function, inputs, aten.ATTRIBUTES)
    pairs = Counter(translated(recorded.pairs, aten.translate))
    return Recording([aten.translate(raw) for raw in recorded.calls], pairs)


def of_application(calls: Sequence[OpCall], benchmark: Benchmark) -> tuple[list[OpCall], list[int]]:
    """The 2-D forward convolutions among ``calls``, and for each the number of its stage.

    A stage takes the convolutions whose size is nearest to its center, in logarithm.
    """
    centers = [stage.center for stage in benchmark.stages]
    kept = [call for call in calls if call.kind == "conv2d" and call.phase == "forward"]
    sizes = [ops.input_size(call) or 1.0 for call in kept]
    return kept, [centers.index(nearest_center(size, centers)) for size in sizes]


def of_benchmark(benchmark: Benchmark) -> tuple[list[OpCall], list[int]]:
    """The benchmark's own convolutions in the order of a pass, and for each its stage's number."""
    calls, stages = [], []
    for number, stage in enumerate(benchmark.stages):
        own = [layer_call(stage, layer, benchmark.batch, benchmark.dtype) for layer in stage.layers]
        calls += own
        stages += [number] * len(own)
    return calls, stages
