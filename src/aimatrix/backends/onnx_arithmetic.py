"""Elementwise operators and reductions in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from aimatrix.backends.onnx_graph import ELEMENT_TYPES, Graph, Value
from aimatrix.model.calls import OpCall

_Spelling = Callable[..., Value]

#: dtypes that runtimes add and multiply; of whole numbers that take fewer bytes they flip bits
_ARITHMETIC = frozenset({"float32", "float64", "int64", "int32"})


def scaled(graph: Graph, x: Value) -> Value:
    """As many numbers as ``x``, read and written once: a copy that no runtime removes."""
    dtype = _dtype(x)
    if dtype == "bool":
        return graph.node("Not", x)
    if dtype not in _ARITHMETIC:
        return graph.node("BitwiseNot", x)
    return graph.node("Mul", x, graph.constant(2, dtype))


def numeric(graph: Graph, x: Value) -> Value:
    """Numbers that runtimes compare and add: ``x``, or what it is in 32 bits."""
    return x if _dtype(x) in _ARITHMETIC else graph.cast(x, "int32")


def elementwise(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """The kind's own operator where it has one; else one that reads and writes as much."""
    if len(values) == 1:
        known = _UNARY.get(call.kind) if call.dtype == "float32" else None
        return [(known or scaled)(graph, values[0])]
    if "outputs" in dict(call.attributes):
        return _step(graph, call, values)
    if len(values) == 2 and call.dtype in _ARITHMETIC:
        known = _BINARY.get(call.kind, _as("Add"))
        if call.kind == "div" and not call.dtype.startswith("float"):
            known = _as("Add")  # random whole numbers may be zero
        return [known(graph, *values)]
    if len(values) == 3 and call.kind == "addcmul":
        return [graph.node("Add", values[0], graph.node("Mul", *values[1:]))]
    if call.dtype.startswith("float"):
        return [graph.node("Sum", *values)]
    return [_joined(graph, call.dtype, values)]


def _joined(graph: Graph, dtype: str, values: Sequence[Value]) -> Value:
    """One after another, by an operator that the dtype has."""
    operator = "And" if dtype == "bool" else "Add" if dtype in _ARITHMETIC else "BitwiseAnd"
    result = values[0]
    for value in values[1:]:
        result = graph.node(operator, result, value)
    return result


def _step(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """Each output of what is read for it: of two tensors where those behind are alike."""
    count = max(1, min(len(call["outputs"]), len(values)))
    if call["inputs"][:count] != call["inputs"][count : 2 * count]:
        return [scaled(graph, value) for value in values[:count]]
    pairs = zip(values[:count], values[count : 2 * count], strict=True)
    return [_joined(graph, call.dtype, pair) for pair in pairs]


def _as(operator: str, **attributes: float | str) -> _Spelling:
    """One node."""
    return lambda graph, *values: graph.node(operator, *values, **attributes)


def _silu(graph: Graph, x: Value) -> Value:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _rsqrt(graph: Graph, x: Value) -> Value:
    return graph.node("Reciprocal", graph.node("Sqrt", x))


def _relu6(graph: Graph, x: Value) -> Value:
    bounds = graph.constant(0, "float32"), graph.constant(6, "float32")
    return graph.node("Clip", x, *bounds)


def _softplus(graph: Graph, x: Value) -> Value:
    far = graph.node("Greater", x, graph.constant(20, "float32"))
    return graph.node("Where", far, x, graph.node("Softplus", x))


def _not_equal(graph: Graph, x: Value, y: Value) -> Value:
    return graph.node("Not", graph.node("Equal", x, y))


#: kind -> as torch's exporter spells it
_UNARY: dict[str, _Spelling] = {
    "relu": _as("Relu"),
    "gelu": _as("Gelu"),
    "silu": _silu,
    "sigmoid": _as("Sigmoid"),
    "tanh": _as("Tanh"),
    "exp": _as("Exp"),
    "erf": _as("Erf"),
    "sin": _as("Sin"),
    "cos": _as("Cos"),
    "neg": _as("Neg"),
    "abs": _as("Abs"),
    "log": _as("Log"),
    "sqrt": _as("Sqrt"),
    "rsqrt": _rsqrt,
    "hardtanh": _relu6,
    "relu6": _relu6,
    "hardswish": _as("HardSwish"),
    "hardsigmoid": _as("HardSigmoid", alpha=1 / 6, beta=0.5),
    "leaky_relu": _as("LeakyRelu", alpha=0.01),
    "elu": _as("Elu"),
    "softplus": _softplus,
}
_BINARY: dict[str, _Spelling] = {
    "add": _as("Add"),
    "sub": _as("Sub"),
    "mul": _as("Mul"),
    "div": _as("Div"),
    "maximum": _as("Max"),
    "minimum": _as("Min"),
    "eq": _as("Equal"),
    "ne": _not_equal,
    "lt": _as("Less"),
    "gt": _as("Greater"),
}


def reduction(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """The kind's own operator where it has one; else the maximum, which reads as much."""
    x = values[0]
    if not x.shape:
        return [scaled(graph, x)]
    axes = list(call["dims"]) or list(range(len(x.shape)))
    floating = call.dtype.startswith("float")
    if call.kind in ("softmax", "log_softmax") and floating:
        operator = "Softmax" if call.kind == "softmax" else "LogSoftmax"
        return [graph.node(operator, x, axis=axes[0])]
    if call.kind in ("cumsum", "cumprod"):
        return [graph.node("CumSum", numeric(graph, x), graph.constant(axes[0]))]
    if call.kind in ("argmax", "argmin"):
        return [_index_of_largest(graph, call, x)]
    if call.dtype == "bool" or call.kind in ("any", "all"):
        whole = graph.cast(graph.cast(x, "bool"), "int32")
        return [graph.cast(_reduced(graph, "ReduceMax", whole, axes, call["keepdim"]), "bool")]
    if floating and call.kind in ("var", "std", "var_mean"):
        return [_spread(graph, call, x, axes)]
    known = _REDUCTIONS if floating else {"sum": "ReduceSum"}
    operator = known.get(call.kind, "ReduceMax")
    return [_reduced(graph, operator, numeric(graph, x), axes, call["keepdim"])]


_REDUCTIONS = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "amin": "ReduceMin",
    "min": "ReduceMin",
    "linalg_vector_norm": "ReduceL2",
    "norm": "ReduceL2",
}


def _reduced(
    graph: Graph, operator: str, x: Value, axes: Sequence[int], keepdim: bool = True
) -> Value:
    return graph.node(operator, x, graph.constant(axes), keepdims=int(keepdim))


def _index_of_largest(graph: Graph, call: OpCall, x: Value) -> Value:
    if _dtype(x) != "float32":
        x = graph.cast(x, "int32")
    if not call["dims"]:
        x = graph.reshaped(x, (x.elements,))
    axis = call["dims"][0] if call["dims"] else 0
    return graph.node("ArgMax", x, axis=axis, keepdims=0)


def _spread(graph: Graph, call: OpCall, x: Value, axes: Sequence[int]) -> Value:
    away = graph.node("Sub", x, _reduced(graph, "ReduceMean", x, axes))
    squares = graph.node("Mul", away, away)
    mean = _reduced(graph, "ReduceMean", squares, axes, call["keepdim"])
    count = prod(x.shape[axis] for axis in axes)
    variance = graph.node("Mul", mean, graph.constant(count, call.dtype))
    variance = graph.node("Div", variance, graph.constant(max(1, count - 1), call.dtype))
    return graph.node("Sqrt", variance) if call.kind == "std" else variance


def _dtype(x: Value) -> str:
    return next(name for name, number in ELEMENT_TYPES.items() if number == x.element_type)
