"""What the layout adds to the convolutions: the other operators of a pass, none with MACs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aimatrix import ops
from aimatrix.benchmark.layout import StagePlan, Transition, layer_call, plan
from aimatrix.model.benchmark import AddedWork, Stage
from aimatrix.model.calls import OpCall

Shape = tuple[int, ...]


def added_work(stages: Sequence[Stage], batch: int, dtype: str) -> AddedWork:
    """The operators and bytes that a pass adds (`docs/benchmark.md`)."""
    calls: list[OpCall] = []
    features = 0
    for stage_plan in plan(stages):
        calls += _stage_calls(stage_plan, batch)
        stage = stage_plan.stage
        features += stage.out_channels + sum(layer.out_channels for layer in stage.branches)
    calls.append(OpCall.create("movement", "copy", {"inputs": [(batch, features)]}))
    costs = [ops.cost(call.with_dtype(dtype)) for call in calls]
    return AddedWork(operators=len(costs), bytes=sum(cost.bytes for cost in costs))


def _stage_calls(stage_plan: StagePlan, batch: int) -> Iterator[OpCall]:
    stage = stage_plan.stage
    if stage_plan.copies > 1:
        arriving = (batch, stage_plan.arriving, *stage.input_size)
        inputs = [arriving] * stage_plan.copies
        yield OpCall.create("movement", "cat", {"inputs": inputs, "dim": 1})
    if stage_plan.slices and batch > 1:  # at batch 1 a slice of channels is contiguous as it is
        sliced = (batch, stage.in_channels, *stage.input_size)
        yield OpCall.create("movement", "copy", {"inputs": [sliced]})
    for layer in stage.layers:
        shape = ops.output_shape(layer_call(stage, layer, batch)) or ()
        yield OpCall.create("elementwise", "relu", {"inputs": [shape]})
        if layer.role == "branch":
            yield _mean(shape)
    leaving: Shape = (batch, stage.out_channels, *stage.input_size)
    if stage_plan.transition is not None:
        for call in _transition_calls(stage_plan.transition, leaving):
            yield call
            leaving = ops.output_shape(call) or ()
    yield _mean(leaving)


def _transition_calls(transition: Transition, shape: Shape) -> Iterator[OpCall]:
    batch, channels, *sides = shape
    if transition.pools:
        attributes = {
            "batch": batch,
            "channels": channels,
            "input_size": sides,
            "kernel_size": transition.kernel_size,
            "stride": transition.stride,
            "padding": (0, 0),
            "dilation": (1, 1),
            "ceil_mode": False,
        }
        pool = OpCall.create("pooling", "max_pool2d", attributes)
        yield pool
        shape = ops.output_shape(pool) or ()
    if transition.grows:
        pads = (0, transition.grow[1], 0, transition.grow[0])
        yield OpCall.create("movement", "pad", {"inputs": [shape], "pads": pads})


def _mean(shape: Shape) -> OpCall:
    return OpCall.create("reduction", "mean", {"input": shape, "dims": (2, 3), "keepdim": False})
