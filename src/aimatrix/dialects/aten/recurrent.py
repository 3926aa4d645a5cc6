"""Recurrent layers as PyTorch spells them: whole stacks, single layers of a backend, and cells."""

from __future__ import annotations

from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, same

#: the numbers by which the backends' operators name the kind
_MODES = {0: "rnn_relu", 1: "rnn_tanh", 2: "lstm", 3: "gru"}


def _layers(name: str, arguments: Arguments) -> Translation:
    """``aten::lstm`` and its like, quantised too: all layers and directions at once."""
    states = arguments["hx"]
    states = states if isinstance(states, tuple) else (states,)
    hidden = states[-1].shape[-1]
    projected = states[0].shape[-1]
    attributes = _sequence(arguments, states[0].shape[-2])
    steps = arguments.get("input") or arguments["data"]
    return name.removeprefix("quantized_"), {
        **attributes,
        "input_size": steps.shape[-1],
        "hidden_size": hidden,
        "proj_size": projected if projected != hidden else 0,
        "layers": arguments["num_layers"],
        "bidirectional": arguments["bidirectional"],
        "bias": arguments["has_biases"],
    }


def _sequence(arguments: Arguments, batch: int) -> dict[str, Any]:
    packed = arguments.get("batch_sizes")
    if packed is not None:
        rows, steps = arguments["data"].shape[0], packed.shape[0]
    else:
        shape = arguments["input"].shape
        steps = shape[1 if arguments["batch_first"] else 0]
        rows = batch * steps
    return {"batch": batch, "steps": steps, "rows": rows}


def _backends_layers(name: str, arguments: Arguments) -> Translation:
    """``_cudnn_rnn`` and its like: all layers; of packed sequences the sizes of all steps."""
    shape, sizes = arguments["input"].shape, arguments.get("batch_sizes") or ()
    if sizes:
        sequence = {"batch": max(sizes), "steps": len(sizes), "rows": sum(sizes)}
    else:
        batch, steps = (shape[0], shape[1]) if arguments["batch_first"] else (shape[1], shape[0])
        sequence = {"batch": batch, "steps": steps, "rows": batch * steps}
    kind = _MODES[arguments["mode"]]
    bidirectional, layers = arguments["bidirectional"], arguments["num_layers"]
    parts = len(arguments["weight"]) // (layers * (2 if bidirectional else 1))
    return _with_phase(name, kind), {
        **sequence,
        "input_size": shape[-1],
        "hidden_size": arguments["hidden_size"],
        "proj_size": arguments.get("proj_size", 0),
        "layers": layers,
        "bidirectional": bidirectional,
        "bias": parts >= 4,
    }


def _one_layer(name: str, arguments: Arguments) -> Translation:
    """``mkldnn_rnn_layer``: one layer in one direction, steps first."""
    steps, batch, features = arguments["input"].shape
    return _with_phase(name, _MODES[arguments["mode"]]), {
        "batch": batch,
        "steps": steps,
        "rows": batch * steps,
        "input_size": features,
        "hidden_size": arguments["hidden_size"],
        "proj_size": 0,
        "layers": 1,
        "bidirectional": False,
        "bias": arguments["has_biases"],
    }


def _cell(name: str, arguments: Arguments) -> Translation:
    input_shape: Shape = arguments["input"].shape
    rows, features = (1, *input_shape)[-2:]
    kind = name.removeprefix("quantized::").removeprefix("quantized_").removesuffix("_dynamic")
    states = arguments["hx"]  # of an LSTM, its output and its cell's
    state: Shape = (states[0] if isinstance(states, tuple) else states).shape
    return kind, {
        "batch": rows,
        "steps": 1,
        "rows": rows,
        "input_size": features,
        "hidden_size": state[-1],
        "proj_size": 0,
        "layers": 1,
        "bidirectional": False,
        "bias": arguments.get("b_ih") is not None or arguments.get("bias_ih") is not None,
    }


def _with_phase(name: str, kind: str) -> str:
    return f"{kind}_backward" if name.endswith("_backward") else kind


_LAYERS = Rule("recurrent", _layers, ("has_biases", "num_layers", "bidirectional", "batch_first"))
_BACKENDS_LAYERS = Rule(
    "recurrent",
    _backends_layers,
    (
        "mode",
        "hidden_size",
        "proj_size",
        "num_layers",
        "batch_first",
        "bidirectional",
        "batch_sizes",
    ),
)
_ONE_LAYER = Rule("recurrent", _one_layer, ("mode", "hidden_size", "has_biases"))

RULES: dict[str, Rule] = {
    **same(_LAYERS, "lstm gru rnn_tanh rnn_relu quantized_lstm quantized_gru"),
    **same(_BACKENDS_LAYERS, "_cudnn_rnn _cudnn_rnn_backward miopen_rnn miopen_rnn_backward"),
    **same(_ONE_LAYER, "mkldnn_rnn_layer mkldnn_rnn_layer_backward"),
    **same(
        Rule("recurrent", _cell),
        "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell quantized_lstm_cell quantized_gru_cell"
        " quantized_rnn_tanh_cell quantized_rnn_relu_cell quantized::quantized_lstm_cell_dynamic"
        " quantized::quantized_gru_cell_dynamic quantized::quantized_rnn_tanh_cell_dynamic"
        " quantized::quantized_rnn_relu_cell_dynamic",
    ),
}
