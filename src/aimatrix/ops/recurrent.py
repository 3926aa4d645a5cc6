"""Recurrent layers: LSTM, GRU and plain ones, whole or one step (a cell), forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import LEAST_WIDTH, Family, is_count, is_flag, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, weight

#: matrices of hidden_size rows that a layer has for its input, and as many for its state
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
#: the least steps of a layer: what it does once is to stay small beside what it does each step
LEAST_STEPS = 24
#: the least features: the weights that each step reads again are not to fit into a cache suddenly
LEAST_FEATURES = 256


class Recurrent(Family):
    """Kinds: lstm, gru, rnn_tanh, rnn_relu; each also as _cell, and with _backward behind.

    Attributes: batch, steps, rows (batch x steps; less where packed sequences are of different
    lengths), input_size, hidden_size, proj_size (0: the state is not projected), layers,
    bidirectional, bias. Only the products with weights count, as of a linear layer; backward has
    two for each of forward, of the data's gradient and of the weights'.
    """

    name = "recurrent"
    formulas = (
        Formula(
            output="(rows, directions x state)",
            macs=(
                "rows x weights; weights a layer and direction: gates hidden (input + "
                "state) + hidden proj_size; gates 4 of lstm, 3 of gru, 1 of rnn"
            ),
            read="input, initial states, parameters",
            written="output, last states",
            parameters="weights, + 2 gates hidden with bias",
            source="torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN: their equations",
        ),
        Formula(
            of="_backward",
            output="as forward",
            macs="2 x forward",
            read="as forward, with the output and its gradient",
            written="what forward reads",
            parameters="as forward",
            source="as of a linear layer: a product for the data's gradient, one for the weights'",
        ),
    )
    required = {
        "batch": is_size,
        "steps": is_size,
        "rows": is_size,
        "input_size": is_size,
        "hidden_size": is_count,
        "proj_size": is_size,
        "layers": is_count,
        "bidirectional": is_flag,
        "bias": is_flag,
    }

    def check(self, call: OpCall) -> None:
        """As `Family.check`; the kind is known, and there are not more rows than steps hold."""
        super().check(call)
        if _cell(call) not in GATES:
            raise InputError(f"{call.kind!r} is no recurrent layer")
        if call["rows"] > call["batch"] * call["steps"]:
            raise InputError(f"a {call.kind} has more rows than its batch and steps hold")

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """Input, (steps, batch, input_size), states, then layer by layer what torch.nn.LSTM has.

        None for backward kinds and for sequences of different lengths.
        """
        if call.kind.endswith("_backward") or call["rows"] != call["batch"] * call["steps"]:
            return None
        leading: tuple[int, ...] = (call["layers"] * _directions(call),)
        inputs: tuple[int, ...] = (call["steps"],)
        if call.kind.endswith("_cell"):
            leading = inputs = ()
        states = [activation(*leading, call["batch"], state_size(call))]
        if _cell(call) == "lstm":
            states.append(activation(*leading, call["batch"], call["hidden_size"]))
        read = activation(*inputs, call["batch"], call["input_size"])
        return (read, *states, *_weights(call))

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(hidden_size, input_size, batch, layers, steps); no steps of a cell."""
        sizes = (call["hidden_size"], call["input_size"], call["batch"], call["layers"])
        return sizes if "_cell" in call.kind else (*sizes, call["steps"])

    def least_widths(self, call: OpCall) -> tuple[int, ...]:
        """As `Family.least_widths`; steps are done one after another."""
        return (*[LEAST_FEATURES] * 2, LEAST_WIDTH, 1, LEAST_STEPS)[: len(self.widths(call))]

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: layers and steps."""
        return (False, False, False, True, True)[: len(self.widths(call))]

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them; a projection keeps its share of hidden_size."""
        hidden, inputs, batch, layers, *steps = widths
        proj = call["proj_size"] and max(1, call["proj_size"] * hidden // call["hidden_size"])
        return call.replace(
            hidden_size=hidden,
            input_size=inputs,
            batch=batch,
            layers=layers,
            proj_size=proj,
            steps=steps[0] if steps else call["steps"],
            rows=batch * (steps[0] if steps else call["steps"]),
        )

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return (call["rows"], _directions(call) * state_size(call))

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        weights, biases = parameters(call)
        inputs = call["rows"] * call["input_size"]
        outputs = call["rows"] * _directions(call) * state_size(call)
        states = call["batch"] * call["layers"] * _directions(call) * _state_elements(call)
        written = states if "_cell" in call.kind else outputs + states
        forward = Cost(
            macs=call["rows"] * weights,
            bytes_read=(inputs + states + weights + biases) * itemsize,
            bytes_written=written * itemsize,
            parameters=weights + biases,
            warps=_warps(call),
        )
        if not call.kind.endswith("_backward"):
            return forward
        # read besides what forward reads: its output, and the gradient of that
        return Cost(
            macs=2 * call["rows"] * weights,
            bytes_read=forward.bytes_read + 2 * outputs * itemsize,
            bytes_written=forward.bytes_read,
            parameters=forward.parameters,
            warps=2 * _warps(call),
        )


def state_size(call: OpCall) -> int:
    """Features of the state that a layer hands on: those of its projection, if it has one."""
    return int(call["proj_size"] or call["hidden_size"])


def parameters(call: OpCall) -> tuple[int, int]:
    """(elements of all weight matrices, elements of all biases)."""
    gates, hidden = GATES[_cell(call)], call["hidden_size"]
    weights = sum(
        gates * hidden * (size + state_size(call)) + hidden * call["proj_size"]
        for size in _input_sizes(call)
    )
    biases = 2 * gates * hidden * call["layers"] if call["bias"] else 0
    return weights * _directions(call), biases * _directions(call)


def _cell(call: OpCall) -> str:
    return call.kind.removesuffix("_backward").removesuffix("_cell")


def _directions(call: OpCall) -> int:
    return 2 if call["bidirectional"] else 1


def _input_sizes(call: OpCall) -> list[int]:
    """Features of each layer's input: a later one takes the states of both directions."""
    later = _directions(call) * state_size(call)
    return [call["input_size"]] + [later] * (call["layers"] - 1)


def _state_elements(call: OpCall) -> int:
    cell = call["hidden_size"] if _cell(call) == "lstm" else 0
    return state_size(call) + int(cell)


def _warps(call: OpCall) -> int:
    """One product for all steps' inputs; then in each step one with the state, and the gates."""
    gates, hidden = GATES[_cell(call)], call["hidden_size"]
    per_step = launch.gemm_warps(call["batch"] * gates * hidden)
    per_step += launch.vector_warps(call["batch"] * hidden)
    if call["proj_size"]:
        per_step += launch.gemm_warps(call["batch"] * call["proj_size"])
    one = launch.gemm_warps(call["rows"] * gates * hidden) + call["steps"] * per_step
    return int(one * call["layers"] * _directions(call))


def _weights(call: OpCall) -> Iterator[Operand]:
    gates, hidden = GATES[_cell(call)], call["hidden_size"]
    for size in _input_sizes(call):
        for _ in range(_directions(call)):
            yield weight(gates * hidden, size)
            yield weight(gates * hidden, state_size(call))
            if call["bias"]:
                yield weight(gates * hidden)
                yield weight(gates * hidden)
            if call["proj_size"]:
                yield weight(call["proj_size"], hidden)
