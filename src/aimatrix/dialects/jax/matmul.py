"""Matrix products as JAX spells them: all are ``dot_general``, or one with groups of rows."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import inputs, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _dot_general(_: str, arguments: Arguments) -> Translation:
    (left_sums, right_sums), (left_batch, right_batch) = arguments["dimension_numbers"]
    left, right = shape(arguments, 0), shape(arguments, 1)
    k, batch = _sizes(left, left_sums), _sizes(left, left_batch)
    if (_sizes(right, right_sums), _sizes(right, right_batch)) != (k, batch):
        raise ValueError(f"shapes {left} and {right} make no product over these axes")
    return "bmm" if left_batch else "mm", {
        "batch": prod(batch),
        "m": _others(left, (*left_sums, *left_batch)),
        "n": _others(right, (*right_sums, *right_batch)),
        "k": prod(k),
        "bias": False,
    }


def _sizes(sizes: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(sizes[axis] for axis in axes)


def _others(sizes: Shape, axes: tuple[int, ...]) -> int:
    return prod(size for axis, size in enumerate(sizes) if axis not in axes)


def _grouped(_: str, arguments: Arguments) -> Translation:
    """Rows, in as many groups as there are matrices; or groups along the sum, as in gradients."""
    left, right = shape(arguments, 0), shape(arguments, 1)
    output = outputs(arguments)[0]
    if len(left) == 2 and len(right) == 3:
        m, n = output
        k = left[0] if left[1] == m and left[0] in right[1:] else left[1]
    elif len(left) == len(right) == 2:
        m, n = output[1:]
        k = prod(left) // m
    else:
        raise ValueError(f"shapes {left} and {right} make no grouped product")
    return "grouped_mm", {
        "products": [(1, m, n, k)],
        "inputs": [left, right],
        "outputs": [output],
        "parameters": 0,
    }


def _scaled(_: str, arguments: Arguments) -> Translation:
    """Both sides have the sum in their last axis, with a scale for each block of it."""
    (batch, m, k), right = inputs(arguments)[:2]
    return "bmm", {"batch": batch, "m": m, "n": right[1], "k": k, "bias": False}


RULES: dict[str, Rule] = {
    "dot_general": Rule("matmul", _dot_general),
    "ragged_dot_general": Rule("contraction", _grouped),
    **same(Rule("matmul", _scaled), "scaled_matmul scaled_matmul_wrapper"),
}
