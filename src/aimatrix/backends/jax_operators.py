"""ONNX operators in JAX: for each, the function that computes what a node puts out.

What they compute is that of the ONNX specification (https://onnx.ai/onnx/operators/), of opset 17
and later. A value that a node needs to be told beforehand, such as a shape, is a numpy array here;
all others may be traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aimatrix.backends import jax_recurrent
from aimatrix.errors import UnsupportedError

Array = Any
#: of a node: its inputs, None where one is left out, and its attributes
Rule = Callable[[Sequence[Array], Mapping[str, Any]], Any]


def compute(operator: str, inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    """What a node puts out. Raises UnsupportedError for what is not here."""
    rule = RULES.get(operator)
    if rule is None:
        raise UnsupportedError(f"the backend jax has no ONNX operator {operator}")
    for name, usual in _USUAL.get(operator, {}).items():
        if attributes.get(name, usual) != usual:
            raise UnsupportedError(
                f"the backend jax does not run the ONNX operator {operator} with {name} ="
                f" {attributes[name]}"
            )
    output = rule(inputs, attributes)
    return list(output) if isinstance(output, (list, tuple)) else [output]


def _plain(function: Callable[..., Array]) -> Rule:
    """A function of the inputs alone."""
    return lambda inputs, _: function(*inputs)


def _folded(function: Callable[[Array, Array], Array]) -> Rule:
    """A function of two, of any number of inputs."""

    def rule(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
        result = inputs[0]
        for value in inputs[1:]:
            result = function(result, value)
        return result

    return rule


def _ints(value: Array) -> tuple[int, ...]:
    """Whole numbers that have to be known beforehand."""
    return tuple(int(each) for each in np.asarray(value).reshape(-1))


def _division(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    first, second = inputs
    if jnp.issubdtype(jnp.result_type(first), jnp.integer):
        return lax.div(*jnp.broadcast_arrays(first, second))
    return jnp.divide(first, second)


def _clip(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    x, low, high = [*inputs, None, None][:3]
    return jnp.clip(x, low, high)


def _gelu(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jax.nn.gelu(inputs[0], approximate=attributes.get("approximate", b"none") == b"tanh")


def _hard_sigmoid(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    slope, offset = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return jnp.clip(inputs[0] * slope + offset, 0, 1)


def _cast(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.asarray(inputs[0]).astype(attributes["to"])


def _gemm(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    a, b, c = [*inputs, None][:3]
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    product = jnp.matmul(a, b)
    if attributes.get("alpha", 1.0) != 1.0:
        product = product * attributes["alpha"]
    if c is None:
        return product
    return product + (c if attributes.get("beta", 1.0) == 1.0 else c * attributes["beta"])


def _matmul_integer(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    a, b, a_zero, b_zero = [*inputs, None, None][:4]
    whole = [
        x.astype(jnp.int32) - (0 if zero is None else zero.astype(jnp.int32))
        for x, zero in ((a, a_zero), (b, b_zero))
    ]
    return jnp.matmul(*whole)


# convolutions and windows


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


# normalizations


def _batch_norm(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, *parameters = inputs
    scale, bias, mean, variance = (each.reshape(-1, *[1] * (x.ndim - 2)) for each in parameters)
    return (x - mean) * (scale * lax.rsqrt(variance + attributes.get("epsilon", 1e-5))) + bias


def _instance_norm(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, *parameters = inputs
    scale, bias = (each.reshape(-1, *[1] * (x.ndim - 2)) for each in parameters)
    mean, inverse = _moments(x, range(2, x.ndim), attributes)
    return (x - mean) * inverse * scale + bias


def _layer_norm(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    x, scale, bias = [*inputs, None][:3]
    axes = range(attributes.get("axis", -1) % x.ndim, x.ndim)
    mean, inverse = _moments(x, axes, attributes)
    scaled = (x - mean) * inverse * scale
    return [scaled if bias is None else scaled + bias, mean, inverse]


def _moments(x: Array, axes: Sequence[int], attributes: Mapping[str, Any]) -> tuple[Array, Array]:
    """The mean, and one by the standard deviation."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    variance = jnp.var(x, axis=axes, keepdims=True)
    return mean, lax.rsqrt(variance + attributes.get("epsilon", 1e-5))


def _softmax(function: Callable[..., Array]) -> Rule:
    return lambda inputs, attributes: function(inputs[0], axis=attributes.get("axis", -1))


# reductions


def _reduction(function: Callable[..., Array]) -> Rule:
    """Axes are an input, or an attribute in older opsets; without any, all of them."""

    def rule(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
        given = inputs[1] if len(inputs) > 1 else attributes.get("axes")
        axes = _ints(given) if given is not None else ()
        if not axes and attributes.get("noop_with_empty_axes"):
            return inputs[0]
        return function(inputs[0], axis=axes or None, keepdims=bool(attributes.get("keepdims", 1)))

    return rule


def _norm(x: Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(x), axis=axis, keepdims=keepdims))


def _largest(function: Callable[..., Array]) -> Rule:
    def rule(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
        keeps = bool(attributes.get("keepdims", 1))
        return function(inputs[0], axis=attributes.get("axis", 0), keepdims=keeps)

    return rule


def _running_sum(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.cumsum(inputs[0], axis=_ints(inputs[1])[0], dtype=inputs[0].dtype)


def _top(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    x, count = inputs
    axis = attributes.get("axis", -1)
    last = jnp.moveaxis(x, axis, -1)
    if attributes.get("largest", 1):
        values, places = lax.top_k(last, _ints(count)[0])
    else:
        negative, places = lax.top_k(-last, _ints(count)[0])
        values = -negative
    return [jnp.moveaxis(each, -1, axis) for each in (values, places)]


# shapes and movement


def _reshape(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, sides = inputs[0], _ints(inputs[1])
    if not attributes.get("allowzero"):
        sides = tuple(side or x.shape[axis] for axis, side in enumerate(sides))
    return jnp.reshape(x, sides)


def _flatten(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    axis = attributes.get("axis", 1)
    return jnp.reshape(inputs[0], (prod(inputs[0].shape[:axis]), -1))


def _transpose(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.transpose(inputs[0], attributes.get("perm"))


def _unsqueeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.expand_dims(inputs[0], _ints(inputs[1]))


def _squeeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.squeeze(inputs[0], _ints(inputs[1]) if len(inputs) > 1 else None)


def _concat(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.concatenate(inputs, axis=attributes["axis"])


def _split(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    x, axis = inputs[0], attributes.get("axis", 0)
    if len(inputs) > 1:
        return jnp.split(x, np.cumsum(_ints(inputs[1]))[:-1], axis)
    count = attributes["num_outputs"]
    each = ceil(x.shape[axis] / count)
    return jnp.split(x, [each * number for number in range(1, count)], axis)


def _slice(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    x, starts, ends, axes, steps = [*inputs, None, None][:5]
    starts, ends = _ints(starts), _ints(ends)
    axes = _ints(axes) if axes is not None else tuple(range(len(starts)))
    steps = _ints(steps) if steps is not None else (1,) * len(starts)
    where = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # an end far below zero means: to the first element, with a negative step
        where[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(where)]


def _expand(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.broadcast_to(inputs[0], jnp.broadcast_shapes(inputs[0].shape, _ints(inputs[1])))


def _tile(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return jnp.tile(inputs[0], _ints(inputs[1]))


def _pad(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    x, pads, value, axes = [*inputs, None, None][:4]
    given = _ints(pads)
    sides = [(0, 0, 0)] * x.ndim
    count = len(given) // 2
    for number, axis in enumerate(_ints(axes) if axes is not None else range(x.ndim)):
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
    return np.full(_ints(inputs[0]), value.reshape(())[()])


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
    diagonal = _ints(inputs[1])[0] if len(inputs) > 1 else 0
    function = jnp.triu if attributes.get("upper", 1) else jnp.tril
    return function(inputs[0], diagonal)


def _einsum(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.einsum(attributes["equation"].decode(), *inputs)


# resampling


def _resize(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """Axis by axis: the nearest element, or a line between the two next to the place."""
    x, _, scales, sizes = [*inputs, None, None][:4]
    mode = attributes.get("mode", b"nearest").decode()
    if mode not in ("nearest", "linear"):
        raise UnsupportedError(f"the backend jax does not run the ONNX operator Resize of {mode}")
    if sizes is not None:
        new = _ints(sizes)
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


_NO_PADDING = {"auto_pad": b"NOTSET"}
#: of an operator, what an attribute has to be where another value is not done here
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "ArgMax": {"select_last_index": 0},
    "ArgMin": {"select_last_index": 0},
    "AveragePool": _NO_PADDING,
    "BatchNormalization": {"training_mode": 0},
    "Conv": _NO_PADDING,
    "ConvTranspose": {**_NO_PADDING, "output_shape": None},
    "CumSum": {"exclusive": 0, "reverse": 0},
    "MaxPool": _NO_PADDING,
    "Pad": {"mode": b"constant"},
    "Resize": {
        "antialias": 0,
        "axes": None,
        "exclude_outside": 0,
        "keep_aspect_ratio_policy": b"stretch",
    },
}

#: ONNX operator -> what computes it
RULES: dict[str, Rule] = {
    **{
        name: _plain(function)
        for name, function in {
            "Abs": jnp.abs,
            "And": jnp.logical_and,
            "BitwiseAnd": jnp.bitwise_and,
            "BitwiseNot": jnp.bitwise_not,
            "BitwiseOr": jnp.bitwise_or,
            "BitwiseXor": jnp.bitwise_xor,
            "Ceil": jnp.ceil,
            "Cos": jnp.cos,
            "Equal": jnp.equal,
            "Erf": jax.scipy.special.erf,
            "Exp": jnp.exp,
            "Floor": jnp.floor,
            "Greater": jnp.greater,
            "GreaterOrEqual": jnp.greater_equal,
            "HardSwish": jax.nn.hard_swish,
            "Identity": jnp.asarray,
            "IsNaN": jnp.isnan,
            "Less": jnp.less,
            "LessOrEqual": jnp.less_equal,
            "Log": jnp.log,
            "MatMul": jnp.matmul,
            "Neg": jnp.negative,
            "Not": jnp.logical_not,
            "Or": jnp.logical_or,
            "PRelu": lambda x, slope: jnp.where(x < 0, x * slope, x),
            "Pow": lambda x, power: jnp.power(x, power).astype(x.dtype),
            "Reciprocal": jnp.reciprocal,
            "Relu": jax.nn.relu,
            "Round": jnp.round,
            "Sigmoid": jax.nn.sigmoid,
            "Sign": jnp.sign,
            "Sin": jnp.sin,
            "Softplus": jax.nn.softplus,
            "Sqrt": jnp.sqrt,
            "Sub": jnp.subtract,
            "Tanh": jnp.tanh,
            "Where": jnp.where,
            "Xor": jnp.logical_xor,
        }.items()
    },
    "Add": _folded(jnp.add),
    "ArgMax": _largest(jnp.argmax),
    "ArgMin": _largest(jnp.argmin),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "CumSum": _running_sum,
    "Div": _division,
    "Einsum": _einsum,
    "Elu": lambda inputs, attributes: jax.nn.elu(inputs[0], attributes.get("alpha", 1.0)),
    "Expand": _expand,
    "Flatten": _flatten,
    "GRU": jax_recurrent.gru,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_places,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hard_sigmoid,
    "InstanceNormalization": _instance_norm,
    "LSTM": jax_recurrent.lstm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda inputs, attributes: jax.nn.leaky_relu(
        inputs[0], attributes.get("alpha", 0.01)
    ),
    "LogSoftmax": _softmax(jax.nn.log_softmax),
    "MatMulInteger": _matmul_integer,
    "Max": _folded(jnp.maximum),
    "MaxPool": _max_pool,
    "Min": _folded(jnp.minimum),
    "Mod": lambda inputs, attributes: (jnp.fmod if attributes.get("fmod") else jnp.mod)(*inputs),
    "Mul": _folded(jnp.multiply),
    "Pad": _pad,
    "RNN": jax_recurrent.rnn,
    "Range": _range,
    "ReduceL2": _reduction(_norm),
    "ReduceMax": _reduction(jnp.max),
    "ReduceMean": _reduction(jnp.mean),
    "ReduceMin": _reduction(jnp.min),
    "ReduceProd": _reduction(jnp.prod),
    "ReduceSum": _reduction(jnp.sum),
    "Reshape": _reshape,
    "Resize": _resize,
    "ScatterND": _scatter_places,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax(jax.nn.softmax),
    "Split": _split,
    "Squeeze": _squeeze,
    "Sum": _folded(jnp.add),
    "Tile": _tile,
    "TopK": _top,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
