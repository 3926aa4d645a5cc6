"""ONNX models as functions of JAX, for its compiler: node by node while it traces.

What depends on nothing but the model's constants is computed once, before. Small whole numbers stay
numpy arrays, as shapes and axes have to be known when a function is traced, and so do factors of
`Resize`; all other constants are arguments, so that a compiler cannot work on them beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper, numpy_helper

from aimatrix.backends.jax_operators import compute
from aimatrix.errors import UnsupportedError

#: elements up to which whole numbers may be a shape, axes or the like
_FEW = 64


class JaxModel:
    """An ONNX model, made ready to be traced.

    weights: what `__call__` takes first. inputs: the names of what it takes then, in order.
    """

    def __init__(
        self, model: bytes | Path, dtype: str, weights: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """model: a file, or its content. weights: those that are not in it.

        dtype: what is computed in where the model says float32.
        """
        is_file = isinstance(model, Path)
        graph = (onnx.load(str(model)) if is_file else onnx.load_from_string(model)).graph
        self._dtype = jnp.dtype(dtype)
        if any(node.domain not in ("", "ai.onnx") for node in graph.node):
            raise UnsupportedError("the backend jax runs ONNX models of standard operators alone")
        outside = weights or {}
        known: dict[str, Any] = {
            tensor.name: self._as_asked(
                outside[tensor.name] if tensor.name in outside else numpy_helper.to_array(tensor)
            )
            for tensor in graph.initializer
        }
        self.inputs = [value.name for value in graph.input if value.name not in known]
        self._outputs = [value.name for value in graph.output]
        self._nodes = self._without_constant(list(graph.node), known)
        needed = {name for node in self._nodes for name in node.input} | set(self._outputs)
        kept = {name: value for name, value in known.items() if name in needed}
        told = {name for node in self._nodes if node.op_type == "Resize" for name in node.input}
        self._static = {
            name: value for name, value in kept.items() if name in told or _is_static(value)
        }
        self._names = [name for name in kept if name not in self._static]
        self.weights = [jnp.asarray(kept[name]) for name in self._names]

    def place(self, array: np.ndarray) -> Any:
        """An input in the dtype in which the model takes it here."""
        return jnp.asarray(self._as_asked(array))

    def __call__(self, weights: Sequence[Any], *inputs: Any) -> list[Any]:
        """What the model puts out."""
        values = {
            **self._static,
            **dict(zip(self._names, weights, strict=True)),
            **dict(zip(self.inputs, inputs, strict=True)),
        }
        for node in self._nodes:
            self._run(node, values)
        return [jnp.asarray(values[name]) for name in self._outputs]

    def _without_constant(
        self, nodes: Sequence[onnx.NodeProto], known: dict[str, Any]
    ) -> list[onnx.NodeProto]:
        """The nodes that depend on an input; what the others put out is ``known`` then."""
        left = []
        for node in nodes:
            if all(name in known for name in node.input if name):
                self._run(node, known)
            else:
                left.append(node)
        return left

    def _run(self, node: onnx.NodeProto, values: dict[str, Any]) -> None:
        given = [values[name] if name else None for name in node.input]
        if all(isinstance(value, np.ndarray) for value in given if value is not None):
            with jax.ensure_compile_time_eval():
                outputs = compute(node.op_type, given, self._attributes(node))
                outputs = [np.asarray(output) for output in outputs]
        else:
            outputs = compute(node.op_type, given, self._attributes(node))
        if any(node.output[len(outputs) :]):
            raise UnsupportedError(
                f"the backend jax computes {len(outputs)} outputs of the ONNX operator"
                f" {node.op_type}, not {len(node.output)}"
            )
        values.update(
            (name, value) for name, value in zip(node.output, outputs, strict=False) if name
        )

    def _attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        for name, value in found.items():
            if isinstance(value, onnx.TensorProto):
                found[name] = self._as_asked(numpy_helper.to_array(value))
        if node.op_type == "Cast":
            asked = np.dtype(helper.tensor_dtype_to_np_dtype(found["to"]))
            found["to"] = self._dtype if asked == np.float32 else _held(asked)
        if node.op_type == "Split" and "num_outputs" not in found:
            found["num_outputs"] = len(node.output)
        return found

    def _as_asked(self, array: np.ndarray) -> np.ndarray:
        return array.astype(self._dtype) if array.dtype == np.float32 else array


def _is_static(value: np.ndarray) -> bool:
    return bool(np.issubdtype(value.dtype, np.integer)) and value.size <= _FEW


def _held(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What JAX holds numbers of a dtype in; by default it has none of 64 bits."""
    held: np.dtype[Any] = jax.dtypes.canonicalize_dtype(dtype)
    return held
