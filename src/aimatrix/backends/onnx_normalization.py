"""Normalizations in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix.backends.onnx_graph import Graph, Value
from aimatrix.model.calls import OpCall

_EPSILON = 1e-5
#: torch's, where none is given: the distance from 1 to the next float32
_RMS_EPSILON = 2.0**-23


def lower(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """Input, scale, shift, mean and variance, as far as the kind has them."""
    if call.kind == "batch_norm":
        spelling = _by_batch if len(values) == 3 else _by_statistics
        return [spelling(graph, *values)]
    if call.kind == "instance_norm":
        return [graph.node("InstanceNormalization", *values, epsilon=_EPSILON)]
    if call.kind == "group_norm":
        return [_by_group(graph, *values)]
    if call.kind == "rms_norm":
        return [_by_root_mean_square(graph, *values)]
    return [graph.node("LayerNormalization", *values, axis=-1, epsilon=_EPSILON)]


def _by_statistics(
    graph: Graph, x: Value, scale: Value, shift: Value, mean: Value, variance: Value
) -> Value:
    return graph.node(
        "BatchNormalization", x, scale, shift, mean, variance, epsilon=_EPSILON, momentum=0.9
    )


def _by_batch(graph: Graph, x: Value, scale: Value, shift: Value) -> Value:
    """By the statistics of the batch, for which runtimes have no operator."""
    axes = graph.constant([0, *range(2, len(x.shape))])
    away = graph.node("Sub", x, graph.node("ReduceMean", x, axes, keepdims=1))
    variance = graph.node("ReduceMean", graph.node("Mul", away, away), axes, keepdims=1)
    normal = graph.node("Mul", away, _reciprocal_root(graph, variance, _EPSILON))
    return _affine(graph, normal, scale, shift)


def _by_group(graph: Graph, x: Value, scale: Value, shift: Value) -> Value:
    batch, channels = x.shape[:2]
    groups = next(count for count in (32, 16, 8, 4, 2, 1) if channels % count == 0)
    ones, zeros = (graph.constant([number] * groups, "float32") for number in (1, 0))
    grouped = graph.reshaped(x, (batch, groups, x.elements // (batch * groups)))
    normal = graph.node("InstanceNormalization", grouped, ones, zeros, epsilon=_EPSILON)
    return _affine(graph, graph.reshaped(normal, x.shape), scale, shift)


def _affine(graph: Graph, x: Value, scale: Value, shift: Value) -> Value:
    """With a scale and a shift for each channel."""
    shape = (x.shape[1], *[1] * (len(x.shape) - 2))
    scaled = graph.node("Mul", x, graph.reshaped(scale, shape))
    return graph.node("Add", scaled, graph.reshaped(shift, shape))


def _by_root_mean_square(graph: Graph, x: Value, scale: Value) -> Value:
    squares = graph.node("Pow", x, graph.constant(2, "float32"))
    mean = graph.node("ReduceMean", squares, graph.constant([-1]), keepdims=1)
    normal = graph.node("Mul", x, _reciprocal_root(graph, mean, _RMS_EPSILON))
    return graph.node("Mul", normal, scale)


def _reciprocal_root(graph: Graph, x: Value, epsilon: float) -> Value:
    added = graph.node("Add", x, graph.constant(epsilon, "float32"))
    return graph.node("Reciprocal", graph.node("Sqrt", added))
