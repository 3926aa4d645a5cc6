"""ONNX's recurrent layers in JAX: a scan over the steps, in each direction.

Shapes, as ONNX has them: X (steps, batch, input), W (directions, gates x hidden, input), R
(directions, gates x hidden, hidden), B (directions, 2 x gates x hidden), states (directions, batch,
hidden); Y (steps, directions, batch, hidden).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from aimatrix.backends.jax_rule import Array
from aimatrix.errors import UnsupportedError

#: of states, what the input gives, the weight R and the bias of R of a step: the states after it
Step = Callable[[tuple[Array, ...], Array, Array, Array], tuple[Array, ...]]


def lstm(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    """Y, Y_h and Y_c of an LSTM; its gates are input, output, forget and cell."""

    def step(states: tuple[Array, ...], given: Array, r: Array, bias: Array) -> tuple[Array, ...]:
        hidden, cell = states
        i, o, f, c = jnp.split(given + hidden @ r.T + bias, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        return jax.nn.sigmoid(o) * jnp.tanh(cell), cell

    _check(inputs, attributes, most=7)
    return _layer(inputs, attributes, step, states=2)


def gru(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    """Y and Y_h of a GRU; its gates are update, reset and hidden."""
    after = bool(attributes.get("linear_before_reset"))

    def step(states: tuple[Array, ...], given: Array, r: Array, bias: Array) -> tuple[Array, ...]:
        (hidden,) = states
        size = hidden.shape[-1]
        own = hidden @ r.T + bias if after else hidden @ r[: 2 * size].T + bias[: 2 * size]
        z, reset = (
            jax.nn.sigmoid(given[:, part] + own[:, part])
            for part in (slice(size), slice(size, 2 * size))
        )
        last = slice(2 * size, None)
        recurrent = reset * own[:, last] if after else (reset * hidden) @ r[last].T + bias[last]
        return ((1 - z) * jnp.tanh(given[:, last] + recurrent) + z * hidden,)

    _check(inputs, attributes, most=6)
    return _layer(inputs, attributes, step, states=1)


def rnn(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    """Y and Y_h of a plain recurrent layer, with tanh or relu."""
    names = {bytes(name).lower() for name in attributes.get("activations") or [b"Tanh"]}
    if len(names) > 1 or not names <= {b"tanh", b"relu"}:
        raise UnsupportedError("the backend jax runs the ONNX operator RNN with tanh or relu")
    activation = jnp.tanh if names == {b"tanh"} else jax.nn.relu

    def step(states: tuple[Array, ...], given: Array, r: Array, bias: Array) -> tuple[Array, ...]:
        (hidden,) = states
        return (activation(given + hidden @ r.T + bias),)

    _check(inputs, {**attributes, "activations": None}, most=6)
    return _layer(inputs, attributes, step, states=1)


def _check(inputs: Sequence[Array], attributes: Mapping[str, Any], most: int) -> None:
    lengths = inputs[4] if len(inputs) > 4 else None
    peepholes = [each for each in inputs[most:] if each is not None]
    others = [name for name in ("activations", "clip", "layout") if attributes.get(name)]
    if lengths is not None or peepholes or others:
        raise UnsupportedError(
            "the backend jax runs recurrent ONNX operators without lengths, peepholes, clipping"
            " and other activations"
        )


def _layer(
    inputs: Sequence[Array], attributes: Mapping[str, Any], step: Step, states: int
) -> list[Array]:
    x, w, r, bias = [*inputs, None][:4]
    hidden, batch = r.shape[-1], x.shape[1]
    given = [*inputs[5 : 5 + states], *[None] * states][:states]
    starts = [jnp.zeros((w.shape[0], batch, hidden), x.dtype) if s is None else s for s in given]
    if bias is None:
        bias = jnp.zeros((w.shape[0], 2 * w.shape[1]), x.dtype)
    direction = attributes.get("direction", b"forward").decode()
    backward = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    outputs, ends = [], []
    for number, reverse in enumerate(backward):
        own, recurrent = jnp.split(bias[number], 2)
        # the products with the input do not wait for one another: all steps at once
        taken = x @ w[number].T + own

        def body(
            carried: tuple[Array, ...],
            each: Array,
            number: int = number,
            recurrent: Array = recurrent,
        ) -> tuple[tuple[Array, ...], Array]:
            after = step(carried, each, r[number], recurrent)
            return after, after[0]

        first = tuple(start[number] for start in starts)
        end, output = lax.scan(body, first, taken, reverse=reverse)
        outputs.append(output)
        ends.append(end)
    final = [jnp.stack([end[index] for end in ends]) for index in range(states)]
    return [jnp.stack(outputs, axis=1), *final]
