"""Products of several tensors, and gradients of linear layers, as PyTorch spells them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, broadcast, same, shapes

#: a tensor's axes by their labels, with their sizes; and (batch, m, n, k)
Labelled = dict[Any, int]
Product = tuple[int, int, int, int]

_LONGEST_CHAIN = 64


def _einsum(_: str, arguments: Arguments) -> Translation:
    inputs = [tensor.shape for tensor in arguments["tensors"]]
    operands, output = _labels(arguments["equation"], inputs)
    products = _contract(operands, output, arguments.get("path"))
    sizes: Labelled = {}
    for operand in operands:
        for label, size in operand.items():
            sizes[label] = max(size, sizes.get(label, 0))
    return "einsum", _attributes(products, inputs, [tuple(sizes[label] for label in output)])


def _labels(equation: str, inputs: Sequence[Shape]) -> tuple[list[Labelled], list[Any]]:
    """The operands and the output of an equation; axes of ``...`` are labelled by numbers."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    operands: list[Labelled] = []
    letters: list[Any] = []
    dotted = 0
    for term, shape in zip(left.split(","), inputs, strict=True):
        before, dots, after = term.partition("...")
        hidden = len(shape) - len(before) - len(after)
        if hidden < 0 or (hidden and not dots):
            raise ValueError(f"{term!r} is no tensor of shape {shape}")
        dotted = max(dotted, hidden)
        # those of ... broadcast from the right
        labels: list[Any] = [*before, *range(-hidden, 0), *after]
        operands.append(dict(zip(labels, shape, strict=True)))
        letters += [*before, *after]
    ellipsis: list[Any] = list(range(-dotted, 0))
    if not arrow:  # what appears once, in alphabetical order
        return operands, ellipsis + sorted(item for item in letters if letters.count(item) == 1)
    before, dots, after = right.partition("...")
    return operands, [*before, *(ellipsis if dots else ()), *after]


def _contract(
    operands: Sequence[Labelled], output: Sequence[Any], path: Any = None
) -> list[Product]:
    """The products of contracting two operands at a time: from left to right, or by ``path``."""
    left = list(operands)
    steps = list(zip(path[::2], path[1::2], strict=True)) if path else [None] * (len(left) - 1)
    products = []
    for step in steps:
        if step is None:
            a, b = left.pop(0), left.pop(0)
        else:
            low, high = sorted(step)
            b, a = left.pop(high), left.pop(low)
        kept = set(output).union(*left)
        product, result = _pair(a, b, kept)
        products.append(product)
        left = [result, *left] if step is None else [*left, result]
    return products


def _pair(a: Labelled, b: Labelled, kept: set[Any]) -> tuple[Product, Labelled]:
    sizes = {label: max(a.get(label, 1), b.get(label, 1)) for label in (*a, *b)}
    batch, m, n, k = 1, 1, 1, 1
    for label, size in sizes.items():
        if label in a and label in b:
            batch, k = (batch * size, k) if label in kept else (batch, k * size)
        elif label in kept:  # what only one has and nobody needs is summed before
            m, n = (m * size, n) if label in a else (m, n * size)
    return (batch, m, n, k), {label: size for label, size in sizes.items() if label in kept}


def _bilinear(_: str, arguments: Arguments) -> Translation:
    *outer, first = arguments["input1"].shape
    second = arguments["input2"].shape[-1]
    outputs = arguments["weight"].shape[0]
    batch = prod(outer)
    products = _contract(
        [
            {"b": batch, "i": first},
            {"o": outputs, "i": first, "j": second},
            {"b": batch, "j": second},
        ],
        ["b", "o"],
    )
    parameters = sum(prod(shape) for shape in shapes(arguments, "weight", "bias"))
    inputs = shapes(arguments)
    return "bilinear", _attributes(products, inputs, [(*outer, outputs)], parameters)


def _trilinear(_: str, arguments: Arguments) -> Translation:
    """What a bilinear layer and its gradients become: products summed over some axes."""
    inputs = shapes(arguments, "i1", "i2", "i3")
    operands = [
        _with_axes(shape, arguments[f"expand{index + 1}"]) for index, shape in enumerate(inputs)
    ]
    rank = len(inputs[0]) + len(arguments["expand1"])
    output = [axis for axis in range(rank) if axis not in arguments["sumdim"]]
    sizes = [max(operand.get(axis, 1) for operand in operands) for axis in output]
    return "bilinear", _attributes(_contract(operands, output), inputs, [tuple(sizes)])


def _with_axes(shape: Shape, missing: Sequence[int]) -> Labelled:
    rank = len(shape) + len(missing)
    present = [axis for axis in range(rank) if axis not in missing]
    return dict(zip(present, shape, strict=True))


def _chain(name: str, arguments: Arguments) -> Translation:
    """A chain of matrices, multiplied in the order that takes the fewest multiply-adds."""
    inputs = shapes(arguments, "matrices", "tensors")
    if len(inputs) > _LONGEST_CHAIN:
        raise ValueError("a chain too long to be planned")
    matrices = list(inputs)
    matrices[0] = (1, *inputs[0])[-2:]
    matrices[-1] = (*inputs[-1], 1)[:2]
    sides = [matrices[0][0]]
    for rows, columns in matrices:
        if rows != sides[-1]:
            raise ValueError(f"shapes {inputs} make no chain")
        sides.append(columns)

    @cache
    def best(first: int, last: int) -> tuple[int, tuple[Product, ...]]:
        if first == last:
            return 0, ()
        return min(split(first, middle, last) for middle in range(first, last))

    def split(first: int, middle: int, last: int) -> tuple[int, tuple[Product, ...]]:
        left, right = best(first, middle), best(middle + 1, last)
        product = (1, sides[first], sides[last + 1], sides[middle + 1])
        return left[0] + right[0] + prod(product), (*left[1], *right[1], product)

    products = best(0, len(matrices) - 1)[1]
    output = [inputs[0][0]] * (len(inputs[0]) > 1) + [inputs[-1][-1]] * (len(inputs[-1]) > 1)
    return name, _attributes(products, inputs, [tuple(output)])


def _cdist(name: str, arguments: Arguments) -> Translation:
    """Euclidean distances: for each pair of points a product over their features."""
    if arguments.get("p", 2) != 2:
        raise ValueError("distances of another norm are no multiply-adds")
    a, b = arguments["x1"].shape, arguments["x2"].shape
    batch = broadcast(a[:-2], b[:-2])
    if name.endswith("_backward"):  # of the points of x1
        products = [(prod(batch), a[-2], a[-1], b[-2])]
        return "cdist_backward", _attributes(products, shapes(arguments), [a])
    products = [(prod(batch), a[-2], b[-2], a[-1])]
    return "cdist", _attributes(products, [a, b], [(*batch, a[-2], b[-2])])


def _grouped(_: str, arguments: Arguments) -> Translation:
    """Rows, in as many groups as there are matrices, each with its group's own (experts)."""
    a, b = arguments["self"].shape, arguments["mat2"].shape
    output: Shape
    if len(a) == len(b) == 3:
        product, output = (a[0], a[1], b[2], a[2]), (a[0], a[1], b[2])
    elif len(a) == 2 and len(b) == 2:  # the depth is grouped
        product = (1, a[0], b[1], a[1])
        output = (arguments["offs"].shape[0], a[0], b[1])
    elif len(a) == 2:
        product, output = (1, a[0], b[2], a[1]), (a[0], b[2])
    else:
        product, output = (1, a[1], b[1], a[2]), (a[1], b[1])
    if a[-1] != b[-2]:
        raise ValueError(f"shapes {a} and {b} make no product")
    return "grouped_mm", _attributes([product], [a, b], [output])


def _linear_backward(name: str, arguments: Arguments) -> Translation:
    """Gradients of a linear layer, those of its input and weights as far as they are wanted."""
    *outer, n = arguments["grad_output"].shape
    rows, k = prod(outer), arguments["weight"].shape[-1]
    to_input, to_weights, to_bias = _wanted(name, arguments)
    products: list[Product] = []
    inputs: list[Shape] = [(rows, n)]
    outputs: list[Shape] = []
    if to_input:
        products.append((1, rows, k, n))
        inputs.append((n, k))
        outputs.append((rows, k))
    if to_weights:
        products.append((1, n, k, rows))
        inputs.append((rows, k))
        outputs.append((n, k))
    if to_bias:
        outputs.append((n,))
    return "linear_backward", _attributes(products, inputs, outputs)


def _wanted(name: str, arguments: Arguments) -> tuple[bool, bool, bool]:
    if name.endswith("_input"):
        return True, False, False
    if name.endswith("_weights"):
        return False, True, arguments["bias_defined"]
    to_input, to_weights, to_bias = arguments["output_mask"]
    return to_input, to_weights, to_bias


def _attributes(
    products: Sequence[Product],
    inputs: Sequence[Shape],
    outputs: Sequence[Shape],
    parameters: int = 0,
) -> dict[str, Any]:
    return {"products": products, "inputs": inputs, "outputs": outputs, "parameters": parameters}


_LINEAR_BACKWARD = Rule("contraction", _linear_backward, ("output_mask", "bias_defined"))
_GROUPED = Rule("contraction", _grouped)

RULES: dict[str, Rule] = {
    "einsum": Rule("contraction", _einsum, ("equation", "path")),
    "bilinear": Rule("contraction", _bilinear),
    "_trilinear": Rule("contraction", _trilinear, ("expand1", "expand2", "expand3", "sumdim")),
    **same(Rule("contraction", _chain), "chain_matmul linalg_multi_dot"),
    **same(
        Rule("contraction", _cdist, ("p",)), "cdist _cdist_forward _cdist_backward _euclidean_dist"
    ),
    **same(_GROUPED, "_grouped_mm _scaled_grouped_mm"),
    **same(_LINEAR_BACKWARD, "linear_backward mkldnn_linear_backward"),
    **same(_LINEAR_BACKWARD, "mkldnn_linear_backward_input mkldnn_linear_backward_weights"),
}
