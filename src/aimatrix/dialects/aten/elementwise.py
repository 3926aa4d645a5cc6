"""Elementwise operators as PyTorch spells them, and fused steps over an optimizer's tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import (
    Arguments,
    Rule,
    Shape,
    Translation,
    axes,
    broadcast,
    elements,
    same,
    shapes,
)
from aimatrix.dialects.raw import TensorArg


def _elementwise(name: str, arguments: Arguments) -> Translation:
    return name, {"inputs": shapes(arguments)}


def _dropout(name: str, arguments: Arguments) -> Translation:
    if arguments.get("train") is False:
        return name, {"inputs": [(0,)]}  # at inference it hands its input on
    return _elementwise(name, arguments)


def _first_shape(name: str, arguments: Arguments) -> Translation:
    """What comes out has the shape of the first operand, which the others do not broadcast to."""
    inputs = shapes(arguments)
    return name, {"inputs": inputs, "outputs": [inputs[0]]}


def _outer(name: str, arguments: Arguments) -> Translation:
    """Each of one vector times each of another."""
    (rows,), (columns,) = shapes(arguments)
    return name, {"inputs": [(rows, 1), (columns,)]}


def _kronecker(name: str, arguments: Arguments) -> Translation:
    """Each element of one tensor times the whole of another."""
    a, b = shapes(arguments, "self", "other")
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    return name, {"inputs": [a, b], "outputs": [[x * y for x, y in zip(a, b, strict=True)]]}


def _weight_norm_backward(name: str, arguments: Arguments) -> Translation:
    """The gradients of a weight's direction and length."""
    return name, {
        "inputs": shapes(arguments),
        "outputs": shapes(arguments, "saved_v", "saved_g"),
    }


def _gated(name: str, arguments: Arguments) -> Translation:
    """One half of the input is the gate of the other."""
    shape = list(arguments["self"].shape)
    output = [*shape]
    output[arguments.get("dim", -1)] //= 2
    if name.endswith("_backward"):
        return name, {"inputs": [output, shape], "outputs": [shape]}
    return name, {"inputs": [shape], "outputs": [output]}


def _distance(name: str, arguments: Arguments) -> Translation:
    """One number for each pair of vectors."""
    a, b = shapes(arguments, "x1", "x2")
    common = broadcast(a, b)
    axis = axes(arguments.get("dim", -1))[0] % len(common)
    return name, {"inputs": [a, b], "outputs": [(*common[:axis], *common[axis + 1 :])]}


def _cell_gates(name: str, arguments: Arguments) -> Translation:
    """What of a recurrent cell is left after its products: gates in, states out."""
    inputs = shapes(arguments)
    rows, state = (arguments.get("cx") or arguments["hx"]).shape
    gates = prod(arguments["input_gates"].shape) // rows
    kept = gates if "lstm" in name else 5 * state
    states = 2 if "lstm" in name else 1
    return name, {"inputs": inputs, "outputs": [(rows, state)] * states + [(rows, kept)]}


def _cell_gates_backward(name: str, arguments: Arguments) -> Translation:
    inputs = shapes(arguments)
    kept = arguments.get("workspace") or arguments["input_gates"]
    states = shapes(arguments, "cx") or shapes(arguments, "hx", "grad_hy")[:1]
    return name, {"inputs": inputs, "outputs": [kept.shape, *states]}


def _list(name: str, arguments: Arguments) -> Translation:
    """``_foreach_*``: the same on each tensor of a list; their elements as one long row."""
    tensors = arguments["self"]
    total = (elements(arguments, "self"),)
    operands = [
        (elements(arguments, name),)
        for name, value in arguments.items()
        if isinstance(value, TensorArg) or _is_list(value)
    ]
    if name in ("_foreach_norm", "_foreach_max"):
        return name, {"inputs": operands, "outputs": [(len(tensors),)]}
    if name in ("_foreach_zero", "_foreach_copy"):
        return name, {"inputs": operands[1:], "outputs": [total]}
    return name, {"inputs": operands, "outputs": [total]}


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, TensorArg) for item in value)


def _fused_step(name: str, arguments: Arguments) -> Translation:
    """A whole step of an optimizer: all states are read, and all but the gradients written."""
    rows: dict[str, Shape] = {
        of: (elements(arguments, of),) for of in (*_STATES, "grads") if shapes(arguments, of)
    }
    outputs = [row for of, row in rows.items() if of != "grads"]
    return name, {"inputs": list(rows.values()), "outputs": outputs}


_STATES = (
    "self",
    "exp_avgs",
    "exp_avg_sqs",
    "max_exp_avg_sqs",
    "momentum_buffer_list",
    "state_sums",
)
_ELEMENTWISE = Rule("elementwise", _elementwise)
_LIST = Rule("elementwise", _list)
_FOREACH = (
    "abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min copy cos cosh div erf erfc exp"
    " expm1 floor frac lerp lgamma log log10 log1p log2 max maximum minimum mul neg norm pow"
    " reciprocal round rsqrt sigmoid sign sin sinh sqrt sub tan tanh trunc zero"
)

RULES: dict[str, Rule] = {
    **same(
        _ELEMENTWISE,
        "relu relu6 elu selu celu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid"
        " leaky_relu _prelu_kernel softplus log_sigmoid log_sigmoid_forward threshold"
        " hardshrink softshrink logit rrelu",
    ),
    **same(
        _ELEMENTWISE,
        "add sub rsub mul div pow maximum minimum fmax fmin fmod remainder addcmul addcdiv lerp"
        " subtract multiply divide true_divide floor_divide negative"
        " neg abs sign sgn exp exp2 expm1 log log1p log2 log10 sqrt rsqrt reciprocal square"
        " sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh arctan2 hypot sinc"
        " erf erfc erfinv lgamma digamma xlogy logaddexp logaddexp2 heaviside copysign"
        " special_erf special_expit special_xlogy special_log1p special_gammaln special_ndtr"
        " floor ceil round trunc frac clamp clamp_min clamp_max clip nan_to_num absolute"
        " positive deg2rad rad2deg angle polar complex conj_physical"
        " float_power cross linalg_cross"
        " masked_fill native_dropout equal isclose allclose",
    ),
    **same(
        _ELEMENTWISE,
        "eq ne lt le gt ge greater greater_equal less less_equal not_equal"
        " logical_and logical_or logical_not logical_xor"
        " bitwise_and bitwise_or bitwise_not bitwise_xor bitwise_left_shift bitwise_right_shift"
        " __and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ __ixor__"
        " isnan isinf isfinite isposinf isneginf signbit isreal",
    ),
    "where": Rule("elementwise", _elementwise, dtype_of="self"),
    "max.other": _ELEMENTWISE,
    "min.other": _ELEMENTWISE,
    **same(
        _ELEMENTWISE,
        "threshold_backward sigmoid_backward tanh_backward gelu_backward silu_backward"
        " hardtanh_backward hardswish_backward hardsigmoid_backward leaky_relu_backward"
        " elu_backward native_dropout_backward softplus_backward mish_backward"
        " log_sigmoid_backward hardshrink_backward softshrink_backward logit_backward"
        " _prelu_kernel_backward rrelu_with_noise_backward infinitely_differentiable_gelu_backward"
        " _softmax_backward_data _log_softmax_backward_data _masked_softmax_backward"
        " cumprod_backward cummaxmin_backward",
    ),
    **same(
        _ELEMENTWISE,
        "fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask"
        " _fake_quantize_per_tensor_affine_cachemask_tensor_qparams"
        " fake_quantize_per_tensor_affine_cachemask_backward"
        " quantize_per_tensor quantize_per_tensor_dynamic dequantize"
        " quantized::add quantized::add_relu quantized::mul quantized::mul_relu"
        " quantized::hardswish quantized::relu6 quantized::add_scalar quantized::add_scalar_relu"
        " quantized::mul_scalar quantized::mul_scalar_relu quantized::leaky_relu"
        " quantized::sigmoid quantized::celu quantized::elu quantized::clamp"
        " quantized::threshold int_repr",
    ),
    **same(
        _ELEMENTWISE,
        "gcd lcm ldexp nextafter igamma igammac polygamma special_zeta i0 special_i0 special_i0e"
        " special_i1 special_i1e special_bessel_j0 special_bessel_j1 special_ndtri"
        " special_log_ndtr special_erfcx special_entr poisson",
    ),
    **same(
        Rule("elementwise", _first_shape),
        "prelu quantized::prelu renorm rrelu_with_noise _weight_norm _weight_norm_interface"
        " quantize_per_channel fake_quantize_per_channel_affine"
        " fake_quantize_per_channel_affine_cachemask"
        " fake_quantize_per_channel_affine_cachemask_backward _amp_update_scale",
    ),
    **same(
        Rule("elementwise", _dropout, ("train",)),
        "dropout feature_dropout alpha_dropout feature_alpha_dropout",
    ),
    **same(Rule("elementwise", _outer), "outer ger"),
    "kron": Rule("elementwise", _kronecker),
    "_weight_norm_interface_backward": Rule("elementwise", _weight_norm_backward),
    **same(Rule("elementwise", _gated, ("dim",)), "glu glu_backward"),
    **same(Rule("elementwise", _distance, ("dim",)), "cosine_similarity pairwise_distance"),
    **same(Rule("elementwise", _cell_gates), "_thnn_fused_lstm_cell _thnn_fused_gru_cell"),
    **same(
        Rule("elementwise", _cell_gates_backward),
        "_thnn_fused_lstm_cell_backward _thnn_fused_lstm_cell_backward_impl"
        " _thnn_fused_gru_cell_backward _thnn_differentiable_lstm_cell_backward"
        " _thnn_differentiable_gru_cell_backward",
    ),
    **same(_LIST, " ".join(f"_foreach_{name}" for name in _FOREACH.split())),
    "_amp_foreach_non_finite_check_and_unscale": _LIST,
    **same(Rule("elementwise", _fused_step), "_fused_adam _fused_adamw _fused_sgd _fused_adagrad"),
}
