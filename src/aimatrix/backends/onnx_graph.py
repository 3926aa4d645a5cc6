"""ONNX graphs under construction: the type of each value is known as soon as its node is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, TypeProto, defs, helper, numpy_helper, shape_inference

from aimatrix.version import VERSION

#: what torch's exporter writes, so that a runtime fuses a graph of ours as it does an application's
OPSET = 20
IR_VERSION = 10

#: dtype -> its number in ONNX; of the dtypes for which runtimes have operators on the CPU
ELEMENT_TYPES: dict[str, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}

#: the file beside a model in which its weights are expected, each at a page of its own
WEIGHTS_FILE = "weights.bin"
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Value:
    """What flows between nodes. element_type: its number in ONNX."""

    name: str
    element_type: int
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model beside its weights, which a protobuf of at most 2 GiB may not hold.

    content: the ONNX file; it tells names, types and shapes of the weights, and that each is in
    `WEIGHTS_FILE` at its offset. inputs: an array for each of the model's inputs, in order.
    """

    content: bytes
    weights: dict[str, np.ndarray]
    offsets: dict[str, int]
    inputs: tuple[np.ndarray, ...]

    def write(self, folder: Path) -> Path:
        """Write model and weights into a folder; the path of the model."""
        with (folder / WEIGHTS_FILE).open("wb") as file:
            for name, array in self.weights.items():
                file.seek(self.offsets[name])
                array.tofile(file)
        path = folder / "model.onnx"
        path.write_bytes(self.content)
        return path


class Graph:
    """Nodes, inputs, constants and weights under construction.

    scope: with what the names of the nodes begin that are appended from now on.
    """

    def __init__(self) -> None:
        self.scope = ""
        self._nodes: list[Any] = []
        self._constants: dict[str, TensorProto] = {}
        self._weights: dict[str, np.ndarray] = {}
        self._inputs: dict[str, np.ndarray] = {}
        self._outputs: list[Value] = []

    def input(self, array: np.ndarray) -> Value:
        """What comes from outside at each run."""
        return self._kept(self._inputs, "x", array)

    def weight(self, array: np.ndarray) -> Value:
        """What stays from run to run, and may be large."""
        return self._kept(self._weights, "weight", array)

    def constant(self, numbers: Any, dtype: str = "int64") -> Value:
        """A few numbers, which the types of outputs may depend on."""
        name = f"constant_{len(self._constants)}"
        array = np.asarray(numbers, dtype=dtype)
        self._constants[name] = numpy_helper.from_array(array, name)
        return Value(name, ELEMENT_TYPES[dtype], array.shape)

    def node(self, operator: str, *inputs: Value | None, **attributes: Any) -> Value:
        """Append a node; its first output. None stands for an input that is left out."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(
        self, operator: str, count: int, *inputs: Value | None, **attributes: Any
    ) -> list[Value]:
        """Append a node of ``count`` outputs. Raises ValueError where a type cannot be told."""
        number = len(self._nodes)
        name = f"{self.scope}{operator.lower()}_{number}"
        names = [f"{name}_{index}" for index in range(count)]
        given = [value.name if value else "" for value in inputs]
        node = helper.make_node(operator, given, names, name=names[0], **attributes)
        self._nodes.append(node)
        types = shape_inference.infer_node_outputs(
            defs.get_schema(operator, OPSET),
            node,
            {value.name: _type(value) for value in inputs if value},
            {name: self._constants[name] for name in given if name in self._constants},
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        return [_value(name, types.get(name), operator) for name in names]

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """The value in another shape of as many elements; itself if it has that shape."""
        if value.shape == tuple(shape):
            return value
        return self.node("Reshape", value, self.constant(tuple(shape)), allowzero=1)

    def cast(self, value: Value, dtype: str) -> Value:
        """The value in another dtype; itself if it has that."""
        if value.element_type == ELEMENT_TYPES[dtype]:
            return value
        return self.node("Cast", value, to=ELEMENT_TYPES[dtype])

    def makes(self, value: Value) -> bool:
        """Whether a node puts the value out: else it comes from outside, or stays."""
        return value.name not in {**self._inputs, **self._weights, **self._constants}

    def output(self, value: Value) -> None:
        """Have the graph put out what one of its nodes makes, once."""
        if value not in self._outputs:
            self._outputs.append(value)

    def model(self, name: str) -> OnnxModel:
        """What was built, without inputs and weights that no node takes."""
        weights, inputs = self._taken(self._weights), self._taken(self._inputs)
        offsets = _offsets(weights)
        stored = [_stored(key, array, offsets[key]) for key, array in weights.items()]
        graph = helper.make_graph(
            self._nodes,
            name,
            [_info(_of(key, array)) for key, array in inputs.items()],
            [_info(value) for value in self._outputs],
            [*self._constants.values(), *stored],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="aimatrix",
            producer_version=VERSION,
        )
        content: bytes = model.SerializeToString(deterministic=True)
        return OnnxModel(content, weights, offsets, tuple(inputs.values()))

    def _taken(self, among: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = {name for node in self._nodes for name in node.input}
        return {name: array for name, array in among.items() if name in names}

    def _kept(self, among: dict[str, np.ndarray], prefix: str, array: np.ndarray) -> Value:
        name = f"{prefix}_{len(among)}"
        among[name] = array
        return _of(name, array)


def _of(name: str, array: np.ndarray) -> Value:
    return Value(name, ELEMENT_TYPES[array.dtype.name], array.shape)


def _type(value: Value) -> TypeProto:
    return helper.make_tensor_type_proto(value.element_type, value.shape)


def _info(value: Value) -> Any:
    return helper.make_tensor_value_info(value.name, value.element_type, value.shape)


def _value(name: str, found: TypeProto | None, operator: str) -> Value:
    tensor = found.tensor_type if found is not None else None
    if tensor is None or not tensor.HasField("shape"):
        raise ValueError(f"ONNX does not tell what a node {operator} puts out")
    dims = tensor.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        raise ValueError(f"ONNX does not tell the shape of what a node {operator} puts out")
    return Value(name, tensor.elem_type, tuple(dim.dim_value for dim in dims))


def _offsets(weights: dict[str, np.ndarray]) -> dict[str, int]:
    """Where each weight begins in their file."""
    offsets, end = {}, 0
    for name, array in weights.items():
        offsets[name] = end
        end += -(-array.nbytes // _PAGE) * _PAGE
    return offsets


def _stored(name: str, array: np.ndarray, offset: int) -> TensorProto:
    """A weight that is elsewhere."""
    tensor = TensorProto(
        name=name,
        dims=array.shape,
        data_type=ELEMENT_TYPES[array.dtype.name],
        data_location=TensorProto.EXTERNAL,
    )
    place = {"location": WEIGHTS_FILE, "offset": str(offset), "length": str(array.nbytes)}
    for key, text in place.items():
        tensor.external_data.add(key=key, value=text)
    return tensor
