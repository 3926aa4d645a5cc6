"""The convolutions on both sides of a comparison: those of an application, and the benchmark's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aimatrix import ops
from aimatrix.analysis.grouping import nearest_center
from aimatrix.dialects import aten
from aimatrix.model.benchmark import Benchmark, Stage
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.in_process import record_calls


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> list[OpCall]:
    """What ``function`` calls on ``inputs``, in its order. Needs torch."""
    recorded = record_calls(lambda: function(*inputs), aten.ATTRIBUTES)
    return [aten.translate(raw) for raw in recorded]


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
        own = _of_stage(stage, benchmark)
        calls += own
        stages += [number] * len(own)
    return calls, stages


def _of_stage(stage: Stage, benchmark: Benchmark) -> list[OpCall]:
    return [
        OpCall.create(
            "convolution",
            "conv2d",
            {
                "batch": benchmark.batch,
                "in_channels": layer.in_channels,
                "out_channels": layer.out_channels,
                "groups": layer.groups,
                "bias": True,
                "input_size": stage.input_size,
                "kernel_size": layer.kernel_size,
                "stride": layer.stride,
                "padding": layer.padding,
                "dilation": (1, 1),
                "output_padding": (0, 0),
            },
            dtype=benchmark.dtype,
        )
        for layer in (*stage.branches, *stage.main)
    ]
