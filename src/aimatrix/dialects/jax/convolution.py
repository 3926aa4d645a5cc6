"""Convolutions and their gradients as JAX spells them: all are ``conv_general_dilated``.

A convolution whose input is dilated is a transposed one. The gradients of a convolution are
convolutions, too: that of the input takes the filters with their channels exchanged, that of the
filters takes the input with batch and channels exchanged. They become ``_backward`` calls with the
attributes of the forward convolution, which does as many multiply-adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.jax.window import one_sided_first
from aimatrix.dialects.operands import outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation

#: places of batch (or channels out), channels (in), and the sides, in a tensor's shape
Places = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Equation:
    """What a ``conv_general_dilated`` says, with all tensors as (first, second, sides)."""

    taken: Shape
    filters: Shape
    given: Shape
    taken_places: Places
    filter_places: Places
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    input_dilation: Shape
    dilation: Shape
    groups: int
    batch_groups: int


def _read(arguments: Arguments) -> _Equation:
    taken_places, filter_places, given_places = arguments["dimension_numbers"]
    return _Equation(
        taken=_ordered(shape(arguments, 0), taken_places),
        filters=_ordered(shape(arguments, 1), filter_places),
        given=_ordered(outputs(arguments)[0], given_places),
        taken_places=taken_places,
        filter_places=filter_places,
        stride=arguments["window_strides"],
        padding=arguments["padding"],
        input_dilation=arguments["lhs_dilation"],
        dilation=arguments["rhs_dilation"],
        groups=arguments["feature_group_count"],
        batch_groups=arguments["batch_group_count"],
    )


def _ordered(sizes: Shape, places: Places) -> Shape:
    if sorted(places) != list(range(len(sizes))):
        raise ValueError(f"a shape of {len(sizes)} axes has no places {places}")
    return tuple(sizes[place] for place in places)


def _convolution(_: str, arguments: Arguments) -> Translation:
    return _forward(_read(arguments))


def _gradient(_: str, arguments: Arguments) -> Translation:
    """Of the input or of the filters; a forward one where a backward pass computes it again."""
    equation = _read(arguments)
    if equation.taken_places[0] > equation.taken_places[1]:
        return _of_filters(equation)
    if _exchanged(equation.filter_places):
        return _of_input(equation)
    return _forward(equation)


def _exchanged(places: Places) -> bool:
    """Whether filters have their channels out where layers have those in.

    Layers' filters begin or end with the channels out (OIHW, OHWI, HWIO).
    """
    out, into, last = places[0], places[1], len(places) - 1
    return into == 0 or (into == last and out != 0)


def _forward(equation: _Equation) -> Translation:
    batch_groups, sides = equation.batch_groups, equation.taken[2:]
    layer = {
        "batch": equation.taken[0] // batch_groups,
        "in_channels": equation.taken[1] * batch_groups,
        "out_channels": equation.filters[0],
        "groups": equation.groups * batch_groups,
        "kernel_size": equation.filters[2:],
        "dilation": equation.dilation,
    }
    if max(equation.input_dilation) == 1:
        sides, padding = one_sided_first(sides, equation.padding)
        return _layer(layer, sides, equation.stride, padding)
    if max(equation.stride) > 1:
        raise ValueError("a convolution has both a stride and a dilated input")
    return _transposed_layer(layer, sides, equation.input_dilation, equation.given[2:])


def _of_input(equation: _Equation) -> Translation:
    """The gradient of the output comes in, that of the input comes out."""
    layer = {
        "batch": equation.given[0],
        "in_channels": equation.given[1],
        "out_channels": equation.taken[1],
        "groups": equation.groups,
        "kernel_size": equation.filters[2:],
        "dilation": equation.dilation,
    }
    reach = _reach(layer)
    sides, sizes = equation.given[2:], equation.taken[2:]
    if max(equation.stride) > 1:  # of a transposed one
        kind, attributes = _transposed_layer(layer, sides, equation.stride, sizes)
    else:
        before = tuple(r - low for r, (low, _) in zip(reach, equation.padding, strict=True))
        kind, attributes = _slid(layer, sides, equation.input_dilation, before, sizes)
    return _backward(kind, attributes, to_input=True)


def _of_filters(equation: _Equation) -> Translation:
    """The input comes in with the gradient of the output as filters, theirs comes out."""
    groups = equation.groups * equation.batch_groups
    layer = {
        "batch": equation.taken[1] // equation.groups,
        "in_channels": equation.taken[0],
        "out_channels": equation.filters[0],
        "groups": groups,
        "kernel_size": equation.given[2:],
        "dilation": equation.stride,
    }
    sides, sizes = equation.taken[2:], equation.filters[2:]
    if max(equation.input_dilation) > 1:
        kind, attributes = _transposed_layer(layer, sides, equation.input_dilation, sizes)
    else:
        before = tuple(low for low, _ in equation.padding)
        kind, attributes = _slid(layer, sides, equation.dilation, before, sizes)
    return _backward(kind, attributes, to_input=False)


def _reach(layer: dict[str, Any]) -> Shape:
    """How far a kernel reaches beyond its first element, along each side."""
    kernels = zip(layer["kernel_size"], layer["dilation"], strict=True)
    return tuple(dilation * (kernel - 1) for kernel, dilation in kernels)


def _slid(
    layer: dict[str, Any], sides: Shape, stride: Shape, before: Shape, sizes: Shape
) -> Translation:
    """A forward convolution of which the padding behind is known by what comes out alone.

    It is as much as before, if that gives this size; else the least that does.
    """
    padding = []
    for side, step, low, reach, size in zip(
        sides, stride, before, _reach(layer), sizes, strict=True
    ):
        even = (side + 2 * low - reach - 1) // step + 1 == size
        padding.append((low, low if even else (size - 1) * step + reach + 1 - side - low))
    padded, both = one_sided_first(sides, tuple(padding))
    return _layer(layer, padded, stride, both)


def _layer(layer: dict[str, Any], sides: Shape, stride: Shape, padding: Shape) -> Translation:
    return f"conv{len(sides)}d", {
        **layer,
        "input_size": sides,
        "stride": stride,
        "padding": padding,
        "output_padding": (0,) * len(sides),
        "bias": False,
    }


def _transposed_layer(
    layer: dict[str, Any], sides: Shape, stride: Shape, sizes: Shape
) -> Translation:
    """How much is padded is known by the size of what comes out."""
    whole = [
        (side - 1) * step + reach + 1
        for side, step, reach in zip(sides, stride, _reach(layer), strict=True)
    ]
    # what is cut off on one side more than on the other is given back by the padding
    padding = tuple(max(-(-(full - size) // 2), 0) for full, size in zip(whole, sizes, strict=True))
    added = [size - full + 2 * cut for size, full, cut in zip(sizes, whole, padding, strict=True)]
    return f"conv_transpose{len(sides)}d", {
        **layer,
        "input_size": sides,
        "stride": stride,
        "padding": padding,
        "output_padding": tuple(added),
        "bias": False,
    }


def _backward(kind: str, attributes: dict[str, Any], *, to_input: bool) -> Translation:
    return f"{kind}_backward", {
        **attributes,
        "input_gradient": to_input,
        "weight_gradient": not to_input,
    }


RULES: dict[str, Rule] = {"conv_general_dilated": Rule("convolution", _convolution)}
GRADIENTS: dict[str, Rule] = {"conv_general_dilated": Rule("convolution", _gradient)}
