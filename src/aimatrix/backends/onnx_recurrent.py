"""Recurrent layers in ONNX: whole ones by its operators, cells by products and gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aimatrix.backends.onnx_graph import Graph, Value
from aimatrix.model.calls import OpCall
from aimatrix.ops.recurrent import GATES

#: for each gate in ONNX's order its number in torch's
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def lower(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    """Input, states, then layer by layer the weights that torch.nn.LSTM has; no projections."""
    if call.kind.endswith("_cell"):
        return _CELLS[call.kind](graph, call, values)
    states = 2 if call.kind == "lstm" else 1
    x, weights = values[0], values[1 + states :]
    initial = [_layers(graph, call, state) for state in values[1 : 1 + states]]
    each = len(weights) // call["layers"]
    for layer in range(call["layers"]):
        own = weights[layer * each : (layer + 1) * each]
        x = _layer(graph, call, x, own, [state[layer] for state in initial])
    return [x]


def _layers(graph: Graph, call: OpCall, state: Value) -> list[Value]:
    """The states of each layer."""
    if call["layers"] == 1:
        return [state]
    return graph.nodes("Split", call["layers"], state, axis=0, num_outputs=call["layers"])


def _layer(
    graph: Graph, call: OpCall, x: Value, weights: Sequence[Value], states: Sequence[Value]
) -> Value:
    directions = 2 if call["bidirectional"] else 1
    each = len(weights) // directions
    own = [weights[number * each : (number + 1) * each] for number in range(directions)]
    settings: dict[str, Any] = {"hidden_size": call["hidden_size"]}
    settings["direction"] = "bidirectional" if directions == 2 else "forward"
    if call.kind == "gru":
        settings["linear_before_reset"] = 1
    if call.kind.startswith("rnn"):
        settings["activations"] = ["Relu" if call.kind == "rnn_relu" else "Tanh"] * directions
    output = graph.node(
        _OPERATORS[call.kind],
        x,
        _joined(graph, [_ordered(graph, call, each[0]) for each in own]),
        _joined(graph, [_ordered(graph, call, each[1]) for each in own]),
        _joined(graph, [_biases(graph, call, each[2:]) for each in own]) if call["bias"] else None,
        None,
        *states,
        **settings,
    )
    steps, _, batch, hidden = output.shape
    behind = graph.node("Transpose", output, perm=(0, 2, 1, 3))
    return graph.reshaped(behind, (steps, batch, directions * hidden))


def _ordered(graph: Graph, call: OpCall, weight: Value) -> Value:
    """Gates in ONNX's order; a runtime does this once, where it is a constant."""
    order = _ORDER[call.kind]
    if len(order) == 1:
        return weight
    gates = graph.nodes("Split", len(order), weight, axis=0, num_outputs=len(order))
    return graph.node("Concat", *[gates[number] for number in order], axis=0)


def _biases(graph: Graph, call: OpCall, biases: Sequence[Value]) -> Value:
    return graph.node("Concat", *[_ordered(graph, call, bias) for bias in biases], axis=0)


def _joined(graph: Graph, directions: Sequence[Value]) -> Value:
    """Those of each direction, one behind the other along an axis of its own."""
    axis = graph.constant([0])
    apart = [graph.node("Unsqueeze", each, axis) for each in directions]
    return graph.node("Concat", *apart, axis=0) if len(apart) > 1 else apart[0]


def _products(
    graph: Graph, call: OpCall, x: Value, state: Value, weights: Sequence[Value]
) -> tuple[list[Value], list[Value]]:
    """Gate by gate what comes of the input, and what of the state."""
    to_input, to_state, *biases = weights
    count = GATES[call.kind.removesuffix("_cell")]
    products = [
        graph.node("Gemm", value, weight, *biases[number : number + 1], transB=1)
        for number, (value, weight) in enumerate(((x, to_input), (state, to_state)))
    ]
    inputs, states = (
        graph.nodes("Split", count, each, axis=1, num_outputs=count) if count > 1 else [each]
        for each in products
    )
    return inputs, states


def _lstm_cell(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    x, state, memory, *weights = values
    inputs, states = _products(graph, call, x, state, weights)
    sums = [graph.node("Add", *pair) for pair in zip(inputs, states, strict=True)]
    enters, stays, leaves = (graph.node("Sigmoid", sums[number]) for number in (0, 1, 3))
    new = graph.node("Mul", enters, graph.node("Tanh", sums[2]))
    memory = graph.node("Add", graph.node("Mul", stays, memory), new)
    return [graph.node("Mul", leaves, graph.node("Tanh", memory)), memory]


def _gru_cell(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    x, state, *weights = values
    inputs, states = _products(graph, call, x, state, weights)
    resets, stays = (
        graph.node("Sigmoid", graph.node("Add", inputs[number], states[number]))
        for number in (0, 1)
    )
    remembered = graph.node("Mul", resets, states[2])
    new = graph.node("Tanh", graph.node("Add", inputs[2], remembered))
    kept = graph.node("Mul", stays, graph.node("Sub", state, new))
    return [graph.node("Add", kept, new)]


def _rnn_cell(graph: Graph, call: OpCall, values: Sequence[Value]) -> Sequence[Value]:
    x, state, *weights = values
    inputs, states = _products(graph, call, x, state, weights)
    operator = "Relu" if call.kind == "rnn_relu_cell" else "Tanh"
    return [graph.node(operator, graph.node("Add", inputs[0], states[0]))]


_CELLS = {
    "lstm_cell": _lstm_cell,
    "gru_cell": _gru_cell,
    "rnn_tanh_cell": _rnn_cell,
    "rnn_relu_cell": _rnn_cell,
}
