"""Lays found widths out as a benchmark: stages with their layers, and what the layout adds."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix import ops
from aimatrix.model.benchmark import AddedWork, Layer, Stage
from aimatrix.model.calls import Cost, OpCall
from aimatrix.synthesis.problem import TERMS, layer_call
from aimatrix.synthesis.template import StageTemplate


def build_stage(template: StageTemplate, genes: Sequence[int]) -> Stage:
    """The stage of ``template`` with widths ``genes`` (`aimatrix.synthesis.problem`).

    MACs and warps are counted anew by `aimatrix.ops`, not taken from the search.
    """
    layers, width, rest = [], genes[0], iter(genes[1:])
    for layer in template.layers:
        in_channels = width if layer.main else genes[0]
        out_channels = in_channels if layer.depthwise else next(rest)
        call = layer_call(template, layer, in_channels, out_channels)
        cost = ops.cost(call)
        layers.append(
            Layer(
                role="main" if layer.main else "branch",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                groups=call["groups"],
                macs=cost.macs or 0,
                warps=cost.warps or 0,
            )
        )
        if layer.main:
            width = out_channels
    macs, warps = sum(item.macs for item in layers), sum(item.warps for item in layers)
    return Stage(
        name=template.name,
        center=template.center,
        input_size=template.input_size,
        in_channels=genes[0],
        multiplicity=template.multiplicity,
        layers=tuple(layers),
        macs=macs,
        warps=warps,
        target_macs=template.target_macs,
        target_warps=template.target_warps,
        fitness_error=_fitness(template, macs, warps),
    )


def _fitness(template: StageTemplate, macs: int, warps: int) -> float:
    represented = {"macs": macs * template.multiplicity, "warps": warps * template.multiplicity}
    targets = {"macs": template.target_macs, "warps": template.target_warps}
    return sum(
        weight * abs(represented[term] - targets[term]) / targets[term]
        for term, weight in TERMS.items()
    )


def added_work(stages: Sequence[Stage], batch: int, dtype: str) -> AddedWork:
    """What a pass does besides its convolutions (`docs/benchmark.md`), in operators and bytes."""
    costs: list[Cost] = []
    arriving: tuple[int, ...] | None = None
    for number, stage in enumerate(stages):
        following = stages[number + 1] if number + 1 < len(stages) else None
        calls, leaving = _stage_calls(stage, batch, arriving, following)
        costs += [ops.cost(call) for call in _in_dtype(calls, dtype)]
        arriving = leaving
    features = sum(
        stage.out_channels + sum(layer.out_channels for layer in stage.branches) for stage in stages
    )
    costs.append(ops.cost(_movement("copy", (batch, features), dtype=dtype)))
    return AddedWork(operators=len(costs), bytes=sum(cost.bytes for cost in costs))


def _in_dtype(calls: Sequence[OpCall], dtype: str) -> list[OpCall]:
    return [
        OpCall.create(call.family, call.kind, dict(call.attributes), dtype=dtype) for call in calls
    ]


def _stage_calls(
    stage: Stage, batch: int, arriving: tuple[int, ...] | None, following: Stage | None
) -> tuple[list[OpCall], tuple[int, ...]]:
    """The added operators of one stage, and the shape that leaves it."""
    calls: list[OpCall] = []
    if arriving is not None and arriving[1] < stage.in_channels:
        copies = -(-stage.in_channels // arriving[1])
        calls.append(OpCall.create("movement", "cat", {"inputs": [arriving] * copies, "dim": 1}))
    for layer in stage.layers:
        shape = (batch, layer.out_channels, *_output_size(stage, layer, batch))
        calls.append(OpCall.create("elementwise", "relu", {"inputs": [shape]}))
        if layer.role == "branch":
            calls.append(_mean(shape))
    shape = (batch, stage.out_channels, *stage.input_size)
    if following is not None:
        pooled, shape = _transition(shape, following.input_size)
        calls += pooled
    calls.append(_mean(shape))
    return calls, shape


def _output_size(stage: Stage, layer: Layer, batch: int) -> tuple[int, ...]:
    sizes = zip(stage.input_size, layer.kernel_size, layer.stride, layer.padding, strict=True)
    return tuple((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in sizes)


def _transition(
    shape: tuple[int, ...], target: tuple[int, int]
) -> tuple[list[OpCall], tuple[int, ...]]:
    """Pooling where the next stage is smaller, zeros where it is larger."""
    calls: list[OpCall] = []
    sides = shape[2:]
    smaller = tuple(min(side, wanted) for side, wanted in zip(sides, target, strict=True))
    if smaller != sides:
        strides = [side // wanted for side, wanted in zip(sides, smaller, strict=True)]
        sizes = zip(sides, smaller, strides, strict=True)
        kernels = [side - (wanted - 1) * stride for side, wanted, stride in sizes]
        attributes = {
            "batch": shape[0],
            "channels": shape[1],
            "input_size": sides,
            "kernel_size": kernels,
            "stride": strides,
            "padding": (0, 0),
            "dilation": (1, 1),
            "ceil_mode": False,
        }
        calls.append(OpCall.create("pooling", "max_pool2d", attributes))
    if smaller != target:
        pads = (0, target[1] - smaller[1], 0, target[0] - smaller[0])
        pooled = (*shape[:2], *smaller)
        calls.append(OpCall.create("movement", "pad", {"inputs": [pooled], "pads": pads}))
    return calls, (*shape[:2], *target)


def _mean(shape: tuple[int, ...]) -> OpCall:
    return OpCall.create("reduction", "mean", {"input": shape, "dims": (2, 3), "keepdim": False})


def _movement(kind: str, shape: tuple[int, ...], dtype: str) -> OpCall:
    return OpCall.create("movement", kind, {"inputs": [shape]}, dtype=dtype)
