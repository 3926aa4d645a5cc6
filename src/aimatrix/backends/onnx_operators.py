"""Single operators in ONNX: the nodes that do the work of each kind of call.

They are those that torch's exporter writes, so that a runtime fuses them alike. The tensors are
those of `aimatrix.ops.operands`, in that order. What ONNX has no operator for, and what no family
lays out, is a copy of as many bytes; `stands_in` says for which calls that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from aimatrix import ops
from aimatrix.backends import onnx_arithmetic, onnx_normalization, onnx_recurrent
from aimatrix.backends.blocks import copied
from aimatrix.backends.onnx_graph import ELEMENT_TYPES, Graph, Value
from aimatrix.model.calls import OpCall
from aimatrix.ops import convolution, matmul
from aimatrix.ops.operand import Operand

#: what a call puts out: first what others take
Lowering = Callable[[Graph, OpCall, Sequence[Value]], Sequence[Value]]


def operands(call: OpCall) -> tuple[Operand, ...]:
    """The tensors that `lower` takes for the call."""
    known = None if stands_in(call) else ops.operands(call)
    return (copied(call),) if known is None else known


def stands_in(call: OpCall) -> bool:
    """Whether a copy of as many bytes runs in the place of a call."""
    return ops.operands(call) is None or _lowering(call) is None


def lower(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """Append the nodes that run the call on its `operands`.

    All that it puts out, first what others take. Raises ValueError where ONNX tells no shape.
    """
    lowering = None if stands_in(call) else _lowering(call)
    if lowering is None:
        return [onnx_arithmetic.scaled(graph, values[0])]
    return lowering(graph, call, values)


def _lowering(call: OpCall) -> Lowering | None:
    """None for what ONNX has no operator for, or runtimes no kernel on the CPU."""
    if call.phase != "forward" or call.kind.endswith("_backward"):
        return None
    if call.dtype not in ELEMENT_TYPES or call.dtype in _WITHOUT.get(call.family, ()):
        return None
    if call.family in _FLOAT_ONLY:
        return _FLOAT_ONLY[call.family] if call.dtype == "float32" and _is_whole(call) else None
    return _FAMILIES.get(call.family)


def _is_whole(call: OpCall) -> bool:
    """Whether ONNX has the operator: it projects no states, and pools to no larger sides."""
    if call.family == "recurrent":
        return not call["proj_size"]
    if call.family == "pooling" and call.kind.startswith("adaptive"):
        return all(map(int.__le__, call["output_size"], call["input_size"]))
    return True


def _matmul(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    if call.kind == "linear":
        return [graph.node("Gemm", *values, transB=1)]
    if not matmul.is_batched(call):
        return [graph.node("Gemm" if call["bias"] else "MatMul", *values)]
    product = graph.node("MatMul", *values[:2])
    return [graph.node("Add", product, values[2]) if call["bias"] else product]


def _convolution(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    window = {
        "group": call["groups"],
        "kernel_shape": call["kernel_size"],
        "strides": call["stride"],
        "dilations": call["dilation"],
        "pads": (*call["padding"], *call["padding"]),
    }
    if convolution.is_transposed(call):
        more = {"output_padding": call["output_padding"]}
        return [graph.node("ConvTranspose", *values, **window, **more)]
    return [graph.node("Conv", *values, **window)]


def _attention(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    queries, keys, weighed, *mask = values
    shared = call["heads"] // call["kv_heads"]
    if shared > 1:
        keys, weighed = (_repeated(graph, value, shared) for value in (keys, weighed))
    batch, heads, length, features = keys.shape
    # three axes for the transposition, as the exporter has it
    folded = graph.reshaped(keys, (batch * heads, length, features))
    folded = graph.node("Transpose", folded, perm=(0, 2, 1))
    turned = graph.reshaped(folded, (batch, heads, features, length))
    # half of the scale on either side, so that neither overflows
    scale = graph.constant([call["head_dim"] ** -0.25], "float32")
    scores = graph.node(
        "MatMul", graph.node("Mul", queries, scale), graph.node("Mul", turned, scale)
    )
    if mask:
        scores = graph.node("Add", scores, mask[0])
    elif call["causal"] and call["query_len"] == call["key_len"]:
        scores = graph.node("Add", scores, graph.weight(_causal(call["query_len"])))
    return [graph.node("MatMul", graph.node("Softmax", scores, axis=-1), weighed)]


def _repeated(graph: Graph, value: Value, times: int) -> Value:
    """Heads of keys or values, each for as many heads of queries."""
    batch, heads, *rest = value.shape
    apart = graph.node("Unsqueeze", value, graph.constant([2]))
    wide = graph.node("Expand", apart, graph.constant([batch, heads, times, *rest]))
    return graph.reshaped(wide, (batch, heads * times, *rest))


def _causal(length: int) -> np.ndarray:
    return np.triu(np.full((length, length), -np.inf, dtype=np.float32), k=1)


def _embedding(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    table, indices = values
    if call.kind == "embedding":
        return [graph.node("Gather", table, indices, axis=0)]
    # bags of equal size; what remains of the indices would make the last one larger
    each = max(1, call["indices"] // max(1, call["outputs"]))
    indices = first(graph, indices, (call["outputs"], each))
    rows = graph.node("Gather", table, indices, axis=0)
    return [graph.node("ReduceSum", rows, graph.constant([1]), keepdims=0)]


def first(graph: Graph, value: Value, shape: tuple[int, ...]) -> Value:
    """The first elements of a value, in ``shape``."""
    elements = prod(shape)
    if value.elements > elements:
        flat = graph.reshaped(value, (value.elements,))
        bounds = graph.constant([0]), graph.constant([elements])
        value = graph.node("Slice", flat, *bounds)
    return graph.reshaped(value, shape)


def _pooling(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    averages = "avg" in call.kind
    if call.kind.startswith("adaptive"):
        return [_adaptive_pooling(graph, call, values[0], averages)]
    window = {
        "kernel_shape": _inside(call),
        "strides": call["stride"],
        "pads": (*call["padding"], *call["padding"]),
        "ceil_mode": int(call["ceil_mode"]),
    }
    if averages:
        return [graph.node("AveragePool", *values, **window, count_include_pad=1)]
    return [graph.node("MaxPool", *values, **window, dilations=call["dilation"])]


def _inside(call: OpCall) -> list[int]:
    """The kernel, as far as it is over the input: some runtimes refuse one that is larger."""
    rooms = [side + 2 * pad for side, pad in zip(call["input_size"], call["padding"], strict=True)]
    fits = [-(-room // apart) for room, apart in zip(rooms, call["dilation"], strict=True)]
    return list(map(min, call["kernel_size"], fits))


def _adaptive_pooling(graph: Graph, call: OpCall, x: Value, averages: bool) -> Value:
    """The mean of all; else windows of one size, though they would differ where sides do."""
    outputs, sides = call["output_size"], call["input_size"]
    if averages and set(outputs) == {1}:
        axes = graph.constant(range(-len(sides), 0))
        return graph.node("ReduceMean", x, axes, keepdims=1)
    strides = [side // output for side, output in zip(sides, outputs, strict=True)]
    kernel = [
        side - (output - 1) * stride
        for side, output, stride in zip(sides, outputs, strides, strict=True)
    ]
    return graph.node(
        "AveragePool" if averages else "MaxPool", x, kernel_shape=kernel, strides=strides
    )


def _movement(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    if call.kind == "view":
        return [values[0]]
    if call.kind == "fill":  # the exporter makes a constant of it
        return [graph.weight(np.zeros(call["inputs"][0], call.dtype))]
    if call.kind == "cat":
        return [graph.node("Concat", *values, axis=call["dim"])]
    if call.kind == "stack":
        axis = graph.constant([call["dim"]])
        apart = [graph.node("Unsqueeze", value, axis) for value in values]
        return [graph.node("Concat", *apart, axis=call["dim"])]
    if call.kind == "pad":
        return [graph.node("Pad", values[0], graph.constant(_pads(call)))]
    return [_moved(graph, values[0])]


def _pads(call: OpCall) -> list[int]:
    """ONNX has first all that is put in front, then all that is put behind, first axis first."""
    pads, rank = call["pads"], len(call["inputs"][0])
    front = [0] * (rank - len(pads) // 2) + list(pads[0::2])[::-1]
    behind = [0] * (rank - len(pads) // 2) + list(pads[1::2])[::-1]
    return front + behind


def _moved(graph: Graph, x: Value) -> Value:
    """A copy that no runtime removes: as of heads, which change places with positions."""
    axes = [axis for axis, side in enumerate(x.shape) if side > 1]
    if len(axes) < 3:
        return onnx_arithmetic.scaled(graph, x)
    order = list(range(len(x.shape)))
    order[axes[-3]], order[axes[-2]] = axes[-2], axes[-3]
    return graph.node("Transpose", x, perm=order)


def _sorting(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    x = onnx_arithmetic.numeric(graph, values[0])
    largest = "topk" in call.kind
    count = x.shape[-1]
    if largest:
        count = call["outputs"][0][-1] if call["outputs"] and call["outputs"][0] else 1
    return graph.nodes("TopK", 2, x, graph.constant([count]), axis=-1, largest=int(largest))


def _resampling(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    x = values[0]
    sizes = graph.constant([*x.shape[:2], *call["outputs"][0][2:]])
    settings: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    if "linear" in call.kind or "bicubic" in call.kind:
        settings["mode"] = "linear" if "linear" in call.kind else "cubic"
        settings["coordinate_transformation_mode"] = "half_pixel"
        settings["cubic_coeff_a"] = -0.75
    return [graph.node("Resize", x, None, None, sizes, **settings)]


def _indexing(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    table, indices, *added = values
    if not added:
        return [graph.node("Gather", table, indices, axis=0)]
    places = graph.node("Unsqueeze", indices, graph.constant([-1]))
    return [graph.node("ScatterND", table, places, added[0], reduction="add")]


_FLOAT_ONLY: dict[str, Lowering] = {
    "matmul": _matmul,
    "convolution": _convolution,
    "attention": _attention,
    "recurrent": onnx_recurrent.lower,
    "normalization": onnx_normalization.lower,
    "pooling": _pooling,
    "resampling": _resampling,
}
_FAMILIES: dict[str, Lowering] = {
    "embedding": _embedding,
    "reduction": onnx_arithmetic.reduction,
    "elementwise": onnx_arithmetic.elementwise,
    "movement": _movement,
    "sorting": _sorting,
    "indexing": _indexing,
}
#: family -> dtypes for which runtimes have no such operator
_WITHOUT = {
    "indexing": frozenset({"int8", "uint8", "bool"}),
    "embedding": frozenset({"int8", "uint8", "bool"}),
}
