"""ONNX operators in JAX that compute nothing: they reshape, move, take and fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aimatrix.backends.jax_rule import Array, Rule, whole_numbers


def _reshape(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, sides = inputs[0], whole_numbers(inputs[1])
    if not attributes.get("allowzero"):
        sides = tuple(side or x.shape[axis] for axis, side in enumerate(sides))
    return jnp.reshape(x, sides)


def _flatten(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    axis = attributes.get("axis", 1)
    return jnp.reshape(inputs[0], (prod(inputs[0].shape[:axis]), -1))


def _transpose(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.transpose(inputs[0], attributes.get("perm"))


def _unsqueeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.expand_dims(inputs[0], whole_numbers(inputs[1]))


def _squeeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.squeeze(inputs[0], whole_numbers(inputs[1]) if len(inputs) > 1 else None)


def _concat(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.concatenate(inputs, axis=attributes["axis"])


def _split(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, axis = inputs[0], attributes.get("axis", 0)
    if len(inputs) > 1:
        return jnp.split(x, np.cumsum(whole_numbers(inputs[1]))[:-1], axis)
    count = attributes["num_outputs"]
    each = ceil(x.shape[axis] / count)
    return jnp.split(x, [each * number for number in range(1, count)], axis)


def _slice(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    x, starts, ends, axes, steps = [*inputs, None, None][:5]
    starts, ends = whole_numbers(starts), whole_numbers(ends)
    axes = whole_numbers(axes) if axes is not None else tuple(range(len(starts)))
    steps = whole_numbers(steps) if steps is not None else (1,) * len(starts)
    where = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # an end far below zero means: to the first element, with a negative step
        where[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(where)]


def _expand(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.broadcast_to(
        inputs[0], jnp.broadcast_shapes(inputs[0].shape, whole_numbers(inputs[1]))
    )


def _tile(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.tile(inputs[0], whole_numbers(inputs[1]))


def _pad(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    x, pads, value, axes = [*inputs, None, None][:4]
    given = whole_numbers(pads)
    sides = [(0, 0, 0)] * x.ndim
    count = len(given) // 2
    for number, axis in enumerate(whole_numbers(axes) if axes is not None else range(x.ndim)):
        sides[axis] = (given[number], given[number + count], 0)
    filler = jnp.zeros((), x.dtype) if value is None else jnp.asarray(value, x.dtype).reshape(())
    return lax.pad(x, filler, sides)


def _gather(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.take(inputs[0], inputs[1], axis=attributes.get("axis", 0), mode="wrap")


def _gather_elements(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    data, indices = inputs
    return jnp.take_along_axis(data, indices, axis=attributes.get("axis", 0))


def _gather_places(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    data, places = inputs

    def gathered(own: Array, where: Array) -> Array:
        return own[tuple(jnp.moveaxis(where, -1, 0))]

    for _ in range(attributes.get("batch_dims", 0)):
        gathered = jax.vmap(gathered)
    return gathered(data, places)


def _scatter_places(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    data, places, updates = inputs
    at = data.at[tuple(jnp.moveaxis(places, -1, 0))]
    how = attributes.get("reduction", b"none").decode()
    methods = {"none": at.set, "add": at.add, "mul": at.multiply, "max": at.max, "min": at.min}
    return methods[how](updates)


def _constant_of_shape(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    value = attributes.get("value", np.zeros(1, np.float32))
    return np.full(whole_numbers(inputs[0]), value.reshape(())[()])


def _constant(_: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    (value,) = attributes.values()
    return np.asarray(value)


def _shape(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    sides = inputs[0].shape[attributes.get("start", 0) : attributes.get("end")]
    return np.array(sides, np.int64)


def _range(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    bounds: list[Any] = [np.asarray(each)[()] for each in inputs]
    return np.arange(*bounds)


def _triangle(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    diagonal = whole_numbers(inputs[1])[0] if len(inputs) > 1 else 0
    function = jnp.triu if attributes.get("upper", 1) else jnp.tril
    return function(inputs[0], diagonal)


RULES: dict[str, Rule] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_places,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ScatterND": _scatter_places,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
