"""Matrix products and linear layers as PyTorch spells them, quantised ones too."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.aten.rule import (
    Arguments,
    Rule,
    Shape,
    Translation,
    axes,
    broadcast,
    quantised,
    same,
)


def _linear(_: str, arguments: Arguments) -> Translation:
    return _layer(arguments["input"].shape, arguments["weight"].shape, arguments.get("bias"))


def _mkldnn_linear(_: str, arguments: Arguments) -> Translation:
    return _layer(arguments["self"].shape, arguments["weight"].shape, arguments.get("bias"))


def _pointwise_linear(_: str, arguments: Arguments) -> Translation:
    """A linear layer that a compiler fused with what follows it."""
    weight = arguments.get("ORI_W") or arguments["W"]
    return _layer(arguments["X"].shape, weight.shape, arguments.get("B"))


def _quantised_linear(_: str, arguments: Arguments) -> Translation:
    """``onednn::qlinear_pointwise``, whose weights may lie either way round."""
    shape, weight = arguments["qx"].shape, arguments["qw"].shape
    if shape[-1] not in weight:
        raise ValueError(f"weights of shape {weight} for inputs of {shape[-1]} features")
    return _layer(shape, (prod(weight) // shape[-1], shape[-1]), arguments.get("bias"))


def _packed_linear(_: str, arguments: Arguments) -> Translation:
    """``quantized::linear`` and its like, whose weights are an object that tells their shapes."""
    weight, bias = arguments["W_prepack"]
    return _layer(arguments["X"].shape, weight.shape, bias)


def _packed_weights(name: str, arguments: Arguments) -> Translation:
    """Whole-number weights, their outputs known from their scales."""
    if name == "_weight_int8pack_mm":
        features = arguments["scales"].shape[0]
    else:  # (groups of the depth, outputs, scale and zero)
        features = arguments["qScaleAndZeros"].shape[1]
    shape = arguments["self"].shape
    return _layer(shape, (features, shape[-1]), None)


def _layer(shape: Shape, weight: Shape, bias: object) -> Translation:
    *outer, k = shape
    if weight[-1] != k:
        raise ValueError(f"weights of shape {weight} for inputs of {k} features")
    n = prod(weight[:-1])  # a vector of weights gives one feature
    return "linear", {"batch": 1, "m": prod(outer), "n": n, "k": k, "bias": bias is not None}


def _matmul(_: str, arguments: Arguments) -> Translation:
    return _product(arguments["self"].shape, arguments["other"].shape, bias=False)


def _mm(name: str, arguments: Arguments) -> Translation:
    if name in _ADDING:
        a, b = _ADDING[name]
        return _product(arguments[a].shape, arguments[b].shape, bias=True)
    second = {"mv": "vec", "dot": "tensor", "vdot": "other"}.get(name, "mat2")
    bias = arguments.get("bias") is not None
    return _product(arguments["self"].shape, arguments[second].shape, bias=bias)


def _product(a: Shape, b: Shape, *, bias: bool) -> Translation:
    """numpy.matmul's rules: vectors are rows or columns, leading axes broadcast."""
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if a[-1] != b[-2]:
        raise ValueError(f"shapes {a} and {b} make no product")
    m, k, n = a[-2], a[-1], b[-1]
    if len(b) == 2:  # one right operand: the batch is more rows
        return "mm", {"batch": 1, "m": prod(a[:-1]), "n": n, "k": k, "bias": bias}
    batch = prod(broadcast(a[:-2], b[:-2]))
    return "bmm", {"batch": batch, "m": m, "n": n, "k": k, "bias": bias}


def _addbmm(_: str, arguments: Arguments) -> Translation:
    """The sum of a batch's products: one product over the depth of all."""
    batch, m, k = arguments["batch1"].shape
    n = arguments["batch2"].shape[-1]
    return "mm", {"batch": 1, "m": m, "n": n, "k": batch * k, "bias": True}


def _addr(_: str, arguments: Arguments) -> Translation:
    m, n = arguments["vec1"].shape[0], arguments["vec2"].shape[0]
    return "mm", {"batch": 1, "m": m, "n": n, "k": 1, "bias": True}


def _inner(_: str, arguments: Arguments) -> Translation:
    a, b = arguments["self"].shape, arguments["other"].shape
    if not a or not b or a[-1] != b[-1]:
        raise ValueError(f"shapes {a} and {b} make no inner product")
    return "mm", {"batch": 1, "m": prod(a[:-1]), "n": prod(b[:-1]), "k": a[-1], "bias": False}


def _tensordot(_: str, arguments: Arguments) -> Translation:
    a, b = arguments["self"].shape, arguments["other"].shape
    k = prod(a[axis] for axis in axes(arguments["dims_self"]))
    if k != prod(b[axis] for axis in axes(arguments["dims_other"])):
        raise ValueError(f"shapes {a} and {b} make no product over these axes")
    m, n = (prod(shape) // k if k else 0 for shape in (a, b))
    return "mm", {"batch": 1, "m": m, "n": n, "k": k, "bias": False}


def _affine_grid(_: str, arguments: Arguments) -> Translation:
    """Every place of the grid, with a one behind, times the matrix of its batch item."""
    batch, n, k = arguments["theta"].shape
    return "bmm", {"batch": batch, "m": prod(arguments["size"][2:]), "n": n, "k": k, "bias": False}


#: operators that add a product to a tensor -> how they spell its two sides
_ADDING = {
    "addmm": ("mat1", "mat2"),
    "_addmm_activation": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "addmv": ("mat", "vec"),
}
_MM = Rule("matmul", _mm)
_POINTWISE = Rule("matmul", _pointwise_linear)

RULES: dict[str, Rule] = {
    "linear": Rule("matmul", _linear),
    "mkldnn_linear": Rule("matmul", _mkldnn_linear),
    **same(_POINTWISE, "mkldnn::_linear_pointwise mkl::_mkl_linear"),
    "onednn::qlinear_pointwise": Rule("matmul", _quantised_linear),
    **same(
        Rule("matmul", _packed_linear, ("W_prepack",)),
        "quantized::linear quantized::linear_relu quantized::linear_leaky_relu"
        " quantized::linear_tanh quantized::linear_dynamic quantized::linear_relu_dynamic"
        " quantized::linear_dynamic_fp16 quantized::linear_relu_dynamic_fp16"
        " quantized::linear_with_input_q_dq_qweight_dq_output_fp32"
        " quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32",
    ),
    **same(Rule("matmul", _packed_weights), "_weight_int8pack_mm _weight_int4pack_mm"),
    **same(Rule("matmul", _matmul), "matmul linalg_matmul"),
    "quantized::matmul": quantised(Rule("matmul", _matmul), self="qa", other="qb"),
    **same(_MM, "mm bmm addmm _addmm_activation baddbmm mv addmv dot vdot _int_mm _scaled_mm"),
    "addbmm": Rule("matmul", _addbmm),
    "addr": Rule("matmul", _addr),
    "inner": Rule("matmul", _inner),
    "tensordot": Rule("matmul", _tensordot, ("dims_self", "dims_other")),
    "affine_grid_generator": Rule("matmul", _affine_grid, ("size",)),
}
