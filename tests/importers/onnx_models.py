"""Small ONNX models, and the nine real ones that the onnx package holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from aimatrix import ops
from aimatrix.dialects import translate
from aimatrix.dialects.raw import RawCall, TensorArg

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
#: the nine, with their MACs: sums over convolutions and fully connected layers of the published
#: architectures (ResNet-50 with its strides in the 1x1 layers of each block: 4.09e9)
NINE = {
    "bvlc_alexnet": 654_560_384,
    "densenet121": 2_834_161_664,
    "inception_v1": 1_431_556_352,
    "inception_v2": 2_018_851_840,
    "resnet50": 4_089_184_256,
    "shufflenet": 124_664_528,
    "squeezenet": 349_151_936,
    "vgg19": 19_632_062_464,
    "zfnet512": 1_481_727_008,
}

Shape = Sequence[int | str]


def light(name: str) -> Path:
    return LIGHT / f"light_{name}.onnx"


def weights(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, 0.5, np.float32), name)


def whole(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def number(name: str, value: float) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.float32), name)


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    """A node; inputs and outputs are names with spaces between; ``-`` is left out."""
    names = [name.replace("-", "") for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def value(name: str, shape: Shape | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape | None],
    outputs: str = "z",
    stored: Sequence[TensorProto] = (),
    opset: int = 18,
    **fields: object,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [value(name, shape) for name, shape in inputs.items()],
        [value(name, None) for name in outputs.split()],
        list(stored),
    )
    fields.setdefault("opset_imports", [helper.make_opsetid("", opset)])
    fields.setdefault("ir_version", 8)
    return helper.make_model(graph, **fields)


def branch(nodes: Sequence[NodeProto], output: str) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "branch", [], [value(output, None)])


def operators(calls: Iterable[tuple[RawCall, int]]) -> Counter[str]:
    """How often each operator is called."""
    counted: Counter[str] = Counter()
    for raw, times in calls:
        counted[raw.name.removeprefix("onnx::")] += times
    return counted


def macs(calls: Iterable[tuple[RawCall, int]]) -> int:
    return sum(times * int(ops.cost(translate(raw)).macs or 0) for raw, times in calls)


def fed(proto: ModelProto, size: int = 2) -> dict[str, TensorArg]:
    """What a run of the model is given, with free dimensions of that size."""
    own = {tensor.name for tensor in proto.graph.initializer}
    return {
        item.name: TensorArg(
            tuple(dim.dim_value or size for dim in item.type.tensor_type.shape.dim)
        )
        for item in proto.graph.input
        if item.name not in own
    }
