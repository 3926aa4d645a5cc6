"""The benchmark as torch modules, laid out by `docs/benchmark.md` from the specification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aimatrix.backends.loose import Operands
from aimatrix.benchmark import layout
from aimatrix.benchmark.layout import StagePlan
from aimatrix.model.benchmark import Benchmark, Layer
from aimatrix.model.calls import OpCall


class StageModule(nn.Module):
    """One stage: its input to (what leaves it, one tensor of means per output)."""

    def __init__(self, plan: StagePlan) -> None:
        super().__init__()
        self.copies = plan.copies
        self.in_channels = plan.stage.in_channels
        self.slices = plan.slices
        self.branches = nn.ModuleList(convolution(layer, n) for n, layer in plan.branches)
        self.main = nn.ModuleList(convolution(layer, n) for n, layer in plan.main)
        self.transition = plan.transition

    def forward(self, x: Any) -> tuple[Any, tuple[Any, ...]]:
        """(batch, channels, height, width) to the next stage's input and the means."""
        if self.copies > 1:
            x = torch.cat([x] * self.copies, 1)
        if self.slices:  # copied once here, or else by every layer that reads it
            x = x[:, : self.in_channels].contiguous()
        means = [functional.relu(branch(x)).mean((2, 3)) for branch in self.branches]
        for layer in self.main:
            x = functional.relu(layer(x))
        x = self._leave(x)
        return x, (*means, x.mean((2, 3)))

    def _leave(self, x: Any) -> Any:
        step = self.transition
        if step is not None and step.pools:
            x = functional.max_pool2d(x, step.kernel_size, step.stride)
        if step is not None and step.grows:
            x = functional.pad(x, (0, step.grow[1], 0, step.grow[0]))
        return x


class Model(nn.Module):
    """All stages and the head: (batch, in_channels, height, width) to (batch, features)."""

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__()
        self.stages = nn.ModuleList(build_stages(benchmark))

    def forward(self, x: Any) -> Any:
        """One pass."""
        means: list[Any] = []
        for stage in self.stages:
            x, stage_means = stage(x)
            means += stage_means
        return torch.cat(means, 1)


class SideBySide(nn.Module):
    """Loose convolutions in order, each on the input of its own."""

    def __init__(self, calls: Sequence[OpCall], operands: Sequence[Operands]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(map(_loose, calls, operands))

    def forward(self, inputs: Any) -> tuple[Any, ...]:
        """One output per input; a compiler could leave out what is not handed back."""
        return tuple(run(inputs[number]) for number, run in enumerate(self.convolutions))


def build_stages(benchmark: Benchmark) -> list[StageModule]:
    """The stages with their weights, float32 on the CPU, for inference."""
    return [StageModule(plan).eval() for plan in layout.plan(benchmark.stages)]


def example_input(benchmark: Benchmark) -> Any:
    """The float32 input of a pass, on the CPU."""
    return torch.from_numpy(layout.example_input(benchmark))


def convolution(layer: Layer, number: int) -> nn.Conv2d:
    """Layer ``number`` of the model with its weights."""
    module = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
        device="meta",  # nothing is drawn at random only to be thrown away
    )
    return _with_weights(module, layout.weight(layer, number), layout.bias(layer, number))


def _loose(call: OpCall, operands: Operands) -> nn.Conv2d:
    module = nn.Conv2d(
        call["in_channels"],
        call["out_channels"],
        call["kernel_size"],
        stride=call["stride"],
        padding=call["padding"],
        dilation=call["dilation"],
        groups=call["groups"],
        bias=call["bias"],
        device="meta",
    )
    return _with_weights(module, operands.weight, operands.bias)


def _with_weights(module: nn.Conv2d, weight: np.ndarray, bias: np.ndarray | None) -> nn.Conv2d:
    module.weight = nn.Parameter(torch.from_numpy(weight), False)
    if bias is not None:
        module.bias = nn.Parameter(torch.from_numpy(bias), False)
    return module
