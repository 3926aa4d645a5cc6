"""Elementwise primitives of JAX, under PyTorch's names where it has them."""

from __future__ import annotations

from aimatrix.dialects.operands import each_element, elementwise, inputs, outputs
from aimatrix.dialects.rule import Arguments, Rule, Translation

#: primitive -> what PyTorch calls it
_RENAMED = {
    "add_any": "add",
    "addupdate": "add",
    "max": "maximum",
    "min": "minimum",
    "integer_pow": "pow",
    "rem": "fmod",
    "logistic": "sigmoid",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "not": "bitwise_not",
    "shift_left": "bitwise_left_shift",
    "shift_right_logical": "bitwise_right_shift",
    "shift_right_arithmetic": "bitwise_right_shift",
    "is_finite": "isfinite",
    "erf_inv": "erfinv",
    "conj": "conj_physical",
    "eq_to": "eq",
    "le_to": "le",
    "lt_to": "lt",
}
_NAMED_ALIKE = (
    "add sub mul div pow neg abs sign exp exp2 expm1 log log1p sqrt rsqrt cbrt square"
    " sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh"
    " erf erfc lgamma digamma polygamma zeta igamma igammac igamma_grad_a random_gamma_grad"
    " regularized_incomplete_beta bessel_i0e bessel_i1e"
    " floor ceil round nextafter clamp eq ne lt le gt ge complex mulhi population_count clz"
    " reduce_precision threefry2x32 threefry4x32 philox2x32 philox4x32 random_fold_in"
    " random_gamma random_seed random_split"
)


def _selected(_: str, arguments: Arguments) -> Translation:
    """Each element of one of the cases; a case that is a number is not read."""
    return "where", each_element(inputs(arguments), outputs(arguments))


RULES: dict[str, Rule] = {
    **{name: Rule("elementwise", elementwise(kind)) for name, kind in _RENAMED.items()},
    **{name: Rule("elementwise", elementwise(name)) for name in _NAMED_ALIKE.split()},
    "select_n": Rule("elementwise", _selected, dtype_of="outputs"),
}
