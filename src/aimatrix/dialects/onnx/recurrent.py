"""Recurrent layers as ONNX spells them: one layer, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects.operands import operand, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation

_ACTIVATIONS = {"tanh": "rnn_tanh", "relu": "rnn_relu"}


def _layer(kind: str) -> Callable[[str, Arguments], Translation]:
    """Input (steps, batch, features), or the batch first with ``layout`` 1.

    Weights of the states (directions, gates x hidden, hidden). How many steps each sequence of a
    batch has is data: all count as long as the longest.
    """

    def translation(name: str, arguments: Arguments) -> Translation:
        steps, batch, features = shape(arguments, 0)
        if arguments.get("layout"):
            steps, batch = batch, steps
        weights = shape(arguments, 2)
        # of whole numbers they lie the other way round
        hidden = weights[1] if "DynamicQuantize" in name else weights[2]
        return kind or _plain(arguments), {
            "batch": batch,
            "steps": steps,
            "rows": batch * steps,
            "input_size": features,
            "hidden_size": hidden,
            "proj_size": 0,
            "layers": 1,
            "bidirectional": weights[0] == 2,
            "bias": operand(arguments, 3) is not None,
        }

    return translation


def _plain(arguments: Arguments) -> str:
    """The kind of a layer without gates, by its activation; tanh unless given."""
    activations = arguments.get("activations") or ("Tanh",)
    return _ACTIVATIONS[activations[0].lower()]


RULES: dict[str, Rule] = {
    "LSTM": Rule("recurrent", _layer("lstm")),
    "GRU": Rule("recurrent", _layer("gru")),
    "RNN": Rule("recurrent", _layer("")),
    "com.microsoft::DynamicQuantizeLSTM": Rule("recurrent", _layer("lstm")),
}
