"""`docs/benchmark.md` in numbers: how stages join, what each layer is, which weights it has.

No framework here: channels that arrive, transitions between stages, weights as NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt

import numpy as np

from aimatrix.model.benchmark import Benchmark, Layer, Stage
from aimatrix.model.calls import OpCall
from aimatrix.ops.convolution import conv2d

#: length of the vector from which all weights are taken
NUMBERS = 8191
#: layer number i takes its weights from position SHIFT * i of it
SHIFT = 97
BIAS_SCALE = 0.01


@dataclass(frozen=True, slots=True)
class Transition:
    """From one stage's input size to the next one's: max pooling, then zeros at the end."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    grow: tuple[int, int]

    @property
    def pools(self) -> bool:
        """Whether a dimension gets smaller."""
        return self.kernel_size != (1, 1) or self.stride != (1, 1)

    @property
    def grows(self) -> bool:
        """Whether a dimension gets larger."""
        return self.grow != (0, 0)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage with what its place among the others decides.

    arriving: channels of the stage's input before they are fitted. first_layer: the number of
    its first layer in the whole model. transition: None in the last stage.
    """

    stage: Stage
    arriving: int
    first_layer: int
    transition: Transition | None

    @property
    def copies(self) -> int:
        """How many whole copies of the input are needed before slicing to in_channels."""
        return -(-self.stage.in_channels // self.arriving)

    @property
    def slices(self) -> bool:
        """Whether the input, copied or not, has more channels than the stage takes."""
        return self.copies * self.arriving > self.stage.in_channels

    @property
    def branches(self) -> list[tuple[int, Layer]]:
        """(number in the whole model, layer) of the branches, in order."""
        return self._numbered("branch")

    @property
    def main(self) -> list[tuple[int, Layer]]:
        """(number in the whole model, layer) of the chain, in order."""
        return self._numbered("main")

    def _numbered(self, role: str) -> list[tuple[int, Layer]]:
        numbered = enumerate(self.stage.layers, start=self.first_layer)
        return [(number, layer) for number, layer in numbered if layer.role == role]


def layer_call(stage: Stage, layer: Layer, batch: int, dtype: str = "float32") -> OpCall:
    """A layer of a stage as the operator call that it is."""
    return conv2d(
        batch=batch,
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        input_size=stage.input_size,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
        dtype=dtype,
    )


def plan(stages: Sequence[Stage]) -> list[StagePlan]:
    """The stages in the order in which a pass runs them."""
    plans: list[StagePlan] = []
    arriving, first_layer = stages[0].in_channels, 0
    for stage, following in zip(stages, (*stages[1:], None), strict=True):
        step = transition(stage.input_size, following.input_size) if following else None
        plans.append(StagePlan(stage, arriving, first_layer, step))
        arriving, first_layer = stage.out_channels, first_layer + len(stage.layers)
    return plans


def transition(size: tuple[int, int], following: tuple[int, int]) -> Transition:
    """The transition from ``size`` to ``following`` (height, width), exact in each dimension."""
    steps = [
        (size[i] - (following[i] - 1) * (size[i] // following[i]), size[i] // following[i])
        if following[i] < size[i]
        else (1, 1)
        for i in range(2)
    ]
    grow = [max(0, following[i] - size[i]) for i in range(2)]
    return Transition(
        kernel_size=(steps[0][0], steps[1][0]),
        stride=(steps[0][1], steps[1][1]),
        grow=(grow[0], grow[1]),
    )


@cache
def numbers() -> np.ndarray:
    """The vector of 8191 float32 numbers in [-1, 1) from which all weights are taken."""
    state, values = 1, []
    for _ in range(NUMBERS):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state / 2**30 - 1)
    vector = np.array(values, dtype=np.float32)
    vector.flags.writeable = False
    return vector


def position(layer_number: int) -> int:
    """Where in `numbers` the weights of a layer begin."""
    return SHIFT * layer_number % NUMBERS


def weight_shape(layer: Layer) -> tuple[int, int, int, int]:
    """(out_channels, in_channels / groups, kernel height, kernel width)."""
    return (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)


def weight_scale(layer: Layer) -> np.float32:
    """sqrt(6 / fan_in): keeps the variance of what passes a ReLU (He et al., 2015)."""
    return np.float32(sqrt(6 / prod(weight_shape(layer)[1:])))


def weight(layer: Layer, number: int) -> np.ndarray:
    """The float32 weight of layer ``number``."""
    shape = weight_shape(layer)
    return (_take(position(number), prod(shape)) * weight_scale(layer)).reshape(shape)


def bias(layer: Layer, number: int) -> np.ndarray:
    """The float32 bias of layer ``number``, of shape (out_channels,)."""
    return _take(position(number), layer.out_channels) * np.float32(BIAS_SCALE)


def input_shape(benchmark: Benchmark) -> tuple[int, int, int, int]:
    """(batch, in_channels, height, width) of the benchmark's input."""
    first = benchmark.stages[0]
    return (benchmark.batch, first.in_channels, *first.input_size)


def example_input(benchmark: Benchmark) -> np.ndarray:
    """The float32 input of a pass."""
    shape = input_shape(benchmark)
    return _take(0, prod(shape)).reshape(shape)


def _take(start: int, count: int) -> np.ndarray:
    return np.resize(np.roll(numbers(), -start), count)
