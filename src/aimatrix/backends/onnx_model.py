"""The benchmark as ONNX models, laid out by `docs/benchmark.md`: one per stage, or the whole.

The file holds no weights: one vector of 8191 numbers, from which Tile, Slice, Reshape and Mul make
each weight. A runtime folds these nodes when it loads the model, as their inputs are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aimatrix.backends.loose import Operands
from aimatrix.benchmark import layout
from aimatrix.benchmark.layout import StagePlan
from aimatrix.model.benchmark import Benchmark, Layer
from aimatrix.model.calls import OpCall
from aimatrix.version import VERSION

#: old enough for every runtime of the last years; IR_VERSION is the one that belongs to it
OPSET = 17
IR_VERSION = 8

#: sides in elements; a name or None where the runtime finds the side out
Shape = tuple[int | str | None, ...]


def export(benchmark: Benchmark) -> bytes:
    """The whole model, float32: ``input`` to ``output`` (batch, features). Same bytes always."""
    graph = _Graph()
    x, means = "input", []
    for plan in layout.plan(benchmark.stages):
        x, stage_means = graph.stage(plan, x)
        means += stage_means
    output = graph.node("Concat", *means, axis=1)
    graph.rename(output, "output")
    features = sum(_features(plan) for plan in layout.plan(benchmark.stages))
    return graph.model(
        "aimatrix_benchmark",
        {"input": layout.input_shape(benchmark)},
        {"output": (benchmark.batch, features)},
    )


def export_stage(benchmark: Benchmark, plan: StagePlan, *, last: bool) -> bytes:
    """One stage: ``x`` to ``means`` (batch, features) and, but for the last one, ``y``."""
    graph = _Graph()
    y, means = graph.stage(plan, "x")
    graph.rename(graph.node("Concat", *means, axis=1), "means")
    outputs: dict[str, Shape] = {"means": (benchmark.batch, _features(plan))}
    if not last:
        graph.rename(graph.node("Identity", y), "y")
        outputs["y"] = (benchmark.batch, plan.stage.out_channels, "height", "width")
    shape = (benchmark.batch, plan.arriving, *plan.stage.input_size)
    return graph.model("aimatrix_stage", {"x": shape}, outputs)


def export_convolutions(calls: Sequence[OpCall], operands: Sequence[Operands]) -> bytes:
    """Loose convolutions: ``x0``, ``x1`` ... to ``y0``, ``y1`` ..., with weights in the model."""
    graph = _Graph()
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    for number, (call, data) in enumerate(zip(calls, operands, strict=True)):
        parameters = [graph.weight(data.weight)]
        if data.bias is not None:
            parameters.append(graph.weight(data.bias))
        y = graph.node(
            "Conv",
            f"x{number}",
            *parameters,
            group=call["groups"],
            kernel_shape=call["kernel_size"],
            strides=call["stride"],
            dilations=call["dilation"],
            pads=(*call["padding"], *call["padding"]),
        )
        graph.rename(y, f"y{number}")
        inputs[f"x{number}"] = data.x.shape
        outputs[f"y{number}"] = (call["batch"], call["out_channels"], None, None)
    return graph.model("aimatrix_convolutions", inputs, outputs)


def _features(plan: StagePlan) -> int:
    """What a stage adds to the head."""
    return sum(layer.out_channels for _, layer in plan.branches) + plan.stage.out_channels


class _Graph:
    """Nodes and constants under construction; values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}
        self._shared: dict[tuple[Any, ...], str] = {}

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of one output and return the output's name."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def rename(self, value: str, name: str) -> None:
        """Give the output of the last node the name that the model promises."""
        if list(self._nodes[-1].output) != [value]:
            raise ValueError(f"{value} is not the last node's output")
        self._nodes[-1].output[0] = name

    def weight(self, array: np.ndarray) -> str:
        """The name of a constant of its own."""
        name = f"constant_{len(self._constants)}"
        self._constants[name] = array
        return name

    def constant(self, value: Any) -> str:
        """The name of a constant; equal ones are kept once."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = self.weight(array)
        return self._shared[key]

    def stage(self, plan: StagePlan, x: str) -> tuple[str, list[str]]:
        """Append a stage that reads ``x``: (what leaves it, its means)."""
        x = self._fit(plan, x)
        means = [self._mean(self._convolution(layer, number, x)) for number, layer in plan.branches]
        for number, layer in plan.main:
            x = self._convolution(layer, number, x)
        x = self._leave(plan, x)
        return x, [*means, self._mean(x)]

    def _fit(self, plan: StagePlan, x: str) -> str:
        if plan.copies > 1:
            x = self.node("Concat", *[x] * plan.copies, axis=1)
        if not plan.slices:
            return x
        bounds = (self.constant([0]), self.constant([plan.stage.in_channels]), self.constant([1]))
        return self.node("Slice", x, *bounds)

    def _convolution(self, layer: Layer, number: int, x: str) -> str:
        shape = layout.weight_shape(layer)
        start, count = layout.position(number), prod(shape)
        copies = -(-(start + count) // layout.NUMBERS)
        numbers = self.constant(layout.numbers())
        tiled = self.node("Tile", numbers, self.constant([copies]))
        taken = self.node("Slice", tiled, self.constant([start]), self.constant([start + count]))
        shaped = self.node("Reshape", taken, self.constant(shape))
        weight = self.node("Mul", shaped, self.constant(layout.weight_scale(layer)))
        ends = self.constant([0]), self.constant([layer.out_channels])
        bias = self.node(
            "Mul", self.node("Slice", taken, *ends), self.constant(np.float32(layout.BIAS_SCALE))
        )
        output = self.node(
            "Conv",
            x,
            weight,
            bias,
            group=layer.groups,
            kernel_shape=layer.kernel_size,
            strides=layer.stride,
            pads=(*layer.padding, *layer.padding),
        )
        return self.node("Relu", output)

    def _leave(self, plan: StagePlan, x: str) -> str:
        step = plan.transition
        if step is not None and step.pools:
            x = self.node("MaxPool", x, kernel_shape=step.kernel_size, strides=step.stride)
        if step is not None and step.grows:
            x = self.node("Pad", x, self.constant([0, 0, 0, 0, 0, 0, *step.grow]))
        return x

    def _mean(self, x: str) -> str:
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def model(self, name: str, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> bytes:
        """The model as the bytes of an ONNX file."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
            [numpy_helper.from_array(array, key) for key, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="aimatrix",
            producer_version=VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
