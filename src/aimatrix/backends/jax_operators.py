"""ONNX operators in JAX: for each, the function that computes what a node puts out.

What they compute is that of the ONNX specification (https://onnx.ai/onnx/operators/), of opset 17
and later. A value that a node needs to be told beforehand, such as a shape, is a numpy array here;
all others may be traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from aimatrix.backends import jax_movement, jax_recurrent, jax_windows
from aimatrix.backends.jax_rule import Array, Rule, whole_numbers
from aimatrix.errors import UnsupportedError


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
        axes = whole_numbers(given) if given is not None else ()
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
    return jnp.cumsum(inputs[0], axis=whole_numbers(inputs[1])[0], dtype=inputs[0].dtype)


def _top(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> list[Array]:
    x, count = inputs
    axis = attributes.get("axis", -1)
    last = jnp.moveaxis(x, axis, -1)
    if attributes.get("largest", 1):
        values, places = lax.top_k(last, whole_numbers(count)[0])
    else:
        negative, places = lax.top_k(-last, whole_numbers(count)[0])
        values = -negative
    return [jnp.moveaxis(each, -1, axis) for each in (values, places)]


def _einsum(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return jnp.einsum(attributes["equation"].decode(), *inputs)


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
    **jax_movement.RULES,
    **jax_windows.RULES,
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
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "CumSum": _running_sum,
    "Div": _division,
    "Einsum": _einsum,
    "Elu": lambda inputs, attributes: jax.nn.elu(inputs[0], attributes.get("alpha", 1.0)),
    "GRU": jax_recurrent.gru,
    "Gelu": _gelu,
    "Gemm": _gemm,
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
    "Min": _folded(jnp.minimum),
    "Mod": lambda inputs, attributes: (jnp.fmod if attributes.get("fmod") else jnp.mod)(*inputs),
    "Mul": _folded(jnp.multiply),
    "RNN": jax_recurrent.rnn,
    "ReduceL2": _reduction(_norm),
    "ReduceMax": _reduction(jnp.max),
    "ReduceMean": _reduction(jnp.mean),
    "ReduceMin": _reduction(jnp.min),
    "ReduceProd": _reduction(jnp.prod),
    "ReduceSum": _reduction(jnp.sum),
    "Softmax": _softmax(jax.nn.softmax),
    "Sum": _folded(jnp.add),
    "TopK": _top,
}
