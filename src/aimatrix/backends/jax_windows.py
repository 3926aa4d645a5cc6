"""ONNX operators in JAX that look at an image in windows: convolution, pooling, resampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aimatrix.backends.jax_rule import Array, Rule, whole_numbers
from aimatrix.errors import UnsupportedError


def _convolution(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, weight, bias = [*inputs, None][:3]
    rank = x.ndim - 2
    output = lax.conv_general_dilated(
        x,
        weight,
        _sides(attributes, "strides", rank),
        _pads(attributes, rank),
        rhs_dilation=_sides(attributes, "dilations", rank),
        feature_group_count=attributes.get("group", 1),
    )
    return output if bias is None else output + bias.reshape(-1, *[1] * rank)


def _transposed_convolution(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """As the gradient of a convolution: of dilated inputs, with mirrored filters."""
    x, weight, bias = [*inputs, None][:3]
    rank, groups = x.ndim - 2, attributes.get("group", 1)
    strides = _sides(attributes, "strides", rank)
    dilations = _sides(attributes, "dilations", rank)
    more = attributes.get("output_padding", [0] * rank)
    kernel = weight.shape[2:]
    pads = [
        (d * (k - 1) - low, d * (k - 1) - high + extra)
        for (low, high), d, k, extra in zip(
            _pads(attributes, rank), dilations, kernel, more, strict=True
        )
    ]
    # (in, out / groups, ...) to (out, in / groups, ...)
    split = weight.reshape(groups, -1, *weight.shape[1:])
    mirrored = jnp.flip(jnp.swapaxes(split, 1, 2), range(3, 3 + rank))
    output = lax.conv_general_dilated(
        x,
        mirrored.reshape(-1, *mirrored.shape[2:]),
        [1] * rank,
        pads,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        feature_group_count=groups,
    )
    return output if bias is None else output + bias.reshape(-1, *[1] * rank)


def _sides(attributes: Mapping[str, Any], name: str, rank: int) -> list[int]:
    return list(attributes.get(name) or [1] * rank)


def _pads(attributes: Mapping[str, Any], rank: int) -> list[tuple[int, int]]:
    pads = list(attributes.get("pads") or [0] * 2 * rank)
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _max_pool(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    (x,) = inputs
    whole = jnp.issubdtype(x.dtype, jnp.integer)
    least = jnp.iinfo(x.dtype).min if whole else -jnp.inf
    return _windows(x, attributes, np.asarray(least, x.dtype), lax.max)[0]


def _average_pool(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    (x,) = inputs
    zero = np.zeros((), x.dtype)
    sums, pads = _windows(x, attributes, zero, lax.add)
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    if attributes.get("count_include_pad"):
        own = [(0, 0), (0, 0), *_pads(attributes, x.ndim - 2)]
        ones = np.pad(ones, own, constant_values=1)
        # what rounding up adds behind the padding counts for nothing
        pads = [
            (0, high - own_high) for (_, high), (_, own_high) in zip(pads, own[2:], strict=True)
        ]
    with jax.ensure_compile_time_eval():
        counts = _reduced(jnp.asarray(ones), attributes, np.zeros((), np.float32), lax.add, pads)
    return sums / jnp.maximum(counts, 1).astype(x.dtype)


def _windows(
    x: Array, attributes: Mapping[str, Any], start: Array, function: Any
) -> tuple[Array, list[tuple[int, int]]]:
    """A reduction over windows, and how much was padded for it on each side."""
    rank = x.ndim - 2
    pads = _pads(attributes, rank)
    if attributes.get("ceil_mode"):
        pads = [
            _rounded_up(size, *pair, kernel, stride, dilation)
            for size, pair, kernel, stride, dilation in zip(
                x.shape[2:],
                pads,
                attributes["kernel_shape"],
                _sides(attributes, "strides", rank),
                _sides(attributes, "dilations", rank),
                strict=True,
            )
        ]
    return _reduced(x, attributes, start, function, pads), pads


def _rounded_up(
    size: int, low: int, high: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int]:
    """The padding with which the last window that begins inside is a whole one."""
    covered = dilation * (kernel - 1) + 1
    steps = ceil((size + low + high - covered) / stride)
    if steps * stride >= size + low:  # it would begin in the padding
        steps -= 1
    return low, max(high, steps * stride + covered - size - low)


def _reduced(
    x: Array,
    attributes: Mapping[str, Any],
    start: Array,
    function: Any,
    pads: Sequence[tuple[int, int]],
) -> Array:
    rank = x.ndim - 2
    return lax.reduce_window(
        x,
        start,
        function,
        (1, 1, *attributes["kernel_shape"]),
        (1, 1, *_sides(attributes, "strides", rank)),
        ((0, 0), (0, 0), *pads),
        window_dilation=(1, 1, *_sides(attributes, "dilations", rank)),
    )


def _global_average(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.mean(inputs[0], axis=range(2, inputs[0].ndim), keepdims=True)


def _resize(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """Axis by axis: the nearest element, or a line between the two next to the place."""
    x, _, scales, sizes = [*inputs, None, None][:4]
    mode = attributes.get("mode", b"nearest").decode()
    if mode not in ("nearest", "linear"):
        raise UnsupportedError(f"the backend jax does not run the ONNX operator Resize of {mode}")
    if sizes is not None:
        new = whole_numbers(sizes)
        factors = [there / here for there, here in zip(new, x.shape, strict=True)]
    else:
        factors = [float(each) for each in np.asarray(scales)]
        new = tuple(int(side * factor) for side, factor in zip(x.shape, factors, strict=True))
    for axis, (size, factor) in enumerate(zip(new, factors, strict=True)):
        if size == x.shape[axis] and factor == 1:
            continue
        places = _places(size, x.shape[axis], factor, attributes)
        x = _nearest(x, axis, places, attributes) if mode == "nearest" else _line(x, axis, places)
    return x


def _places(
    size: int, old: int, factor: float, attributes: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    """Where in the old axis each element of the new one lies."""
    new = np.arange(size, dtype=np.float64)
    how = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if how == "asymmetric":
        return new / factor
    if how == "align_corners":
        return new * (old - 1) / max(1.0, old * factor - 1)
    if how == "pytorch_half_pixel" and size == 1:
        return np.zeros(1)
    if how in ("half_pixel", "pytorch_half_pixel"):
        return (new + 0.5) / factor - 0.5
    raise UnsupportedError(f"the backend jax does not resize by the coordinates {how}")


def _nearest(
    x: Array, axis: int, places: np.ndarray[Any, Any], attributes: Mapping[str, Any]
) -> Array:
    rounding: Mapping[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda at: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    how = attributes.get("nearest_mode", b"round_prefer_floor").decode()
    taken = np.clip(rounding[how](places), 0, x.shape[axis] - 1).astype(np.int32)
    return jnp.take(x, taken, axis=axis)


def _line(x: Array, axis: int, places: np.ndarray[Any, Any]) -> Array:
    last = x.shape[axis] - 1
    below = np.floor(places)
    share = (places - below).reshape(-1, *[1] * (x.ndim - axis - 1)).astype(np.float32)
    low, high = (
        jnp.take(x, np.clip(at, 0, last).astype(np.int32), axis=axis) for at in (below, below + 1)
    )
    return low + (high - low) * jnp.asarray(share, x.dtype)


RULES: dict[str, Rule] = {
    "AveragePool": _average_pool,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "GlobalAveragePool": _global_average,
    "MaxPool": _max_pool,
    "Resize": _resize,
}
