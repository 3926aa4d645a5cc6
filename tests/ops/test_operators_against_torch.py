"""Shapes and MACs against torch itself, over randomly drawn operators (on its meta device)."""

import contextlib
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from op_calls import convolution, matmul, movement, pooling, reduction
from torch.utils.flop_counter import FlopCounterMode

from aimatrix import ops
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.ops.convolution import is_depthwise, split_groups
from aimatrix.ops.dtypes import itemsize
from aimatrix.ops.elementwise import broadcast

SHELLS = ("bits", "int1", "int2", "int3", "int4", "int5", "int6", "int7")


@pytest.mark.parametrize(
    "name",
    sorted({str(item).split(".")[1] for item in vars(torch).values() if type(item) is torch.dtype}),
)
def test_dtypes_take_as_many_bytes_as_in_torch(name: str) -> None:
    if name.removeprefix("u").startswith(SHELLS) and name not in ("int16", "uint16"):
        return  # dtypes that torch names and does not compute with
    assert itemsize(name) == getattr(torch, name).itemsize


drawn = settings(deadline=None, max_examples=150)

SIZES = st.integers(1, 6)


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def per_side(draw: Any, rank: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


@st.composite
def convolutions(draw: Any) -> OpCall:
    """Convolutions of 1 to 3 dimensions, plain, grouped, depthwise, dilated, transposed."""
    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    groups = draw(st.integers(1, 4))
    stride = per_side(draw, rank, 1, 3)
    dilation = per_side(draw, rank, 1, 3)
    outputs = per_side(draw, rank, 0, 2) if transposed else (0,) * rank
    # torch refuses an output padding that is not smaller than the stride or the dilation
    assume(all(o < max(s, d) for o, s, d in zip(outputs, stride, dilation, strict=True)))
    return convolution(
        batch=draw(st.integers(1, 3)),
        in_channels=groups * draw(st.integers(1, 4)),
        out_channels=groups * draw(st.integers(1, 4)),
        input_size=per_side(draw, rank, 1, 12),
        kernel_size=per_side(draw, rank, 1, 4),
        transposed=transposed,
        stride=stride,
        padding=per_side(draw, rank, 0, 3),
        dilation=dilation,
        output_padding=outputs,
        groups=groups,
        bias=draw(st.booleans()),
    )


def run_convolution(call: OpCall) -> torch.Tensor:
    transposed = "transpose" in call.kind
    inside, outside = call["in_channels"], call["out_channels"]
    first, second = (inside, outside) if transposed else (outside, inside)
    weight = meta(first, second // call["groups"], *call["kernel_size"])
    more = {"output_padding": call["output_padding"]} if transposed else {}
    return getattr(functional, call.kind)(  # type: ignore[no-any-return]
        meta(call["batch"], inside, *call["input_size"]),
        weight,
        meta(outside) if call["bias"] else None,
        stride=call["stride"],
        padding=call["padding"],
        dilation=call["dilation"],
        groups=call["groups"],
        **more,
    )


def counted_macs(run: Any, *arguments: Any) -> tuple[int, tuple[int, ...]]:
    with FlopCounterMode(display=False) as counter:
        output = run(*arguments)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2, tuple(output.shape)


@drawn
@given(convolutions())
def test_convolutions(call: OpCall) -> None:
    try:
        cost = ops.cost(call)
    except InputError:
        # torch refuses it too, or makes an output without elements (transposed ones)
        with contextlib.suppress(RuntimeError):
            assert run_convolution(call).numel() == 0
        return
    macs, shape = counted_macs(run_convolution, call)
    assert cost.macs == macs
    assert ops.output_shape(call) == shape


@drawn
@given(convolutions())
def test_parameters_are_those_of_torchs_layer(call: OpCall) -> None:
    names = {"conv": "Conv", "conv_transpose": "ConvTranspose"}
    layer = getattr(torch.nn, names[call.kind[:-2]] + call.kind[-2:])(
        call["in_channels"],
        call["out_channels"],
        call["kernel_size"],
        groups=call["groups"],
        bias=call["bias"],
        device="meta",
    )
    try:
        parameters = ops.cost(call).parameters
    except InputError:
        return
    assert parameters == sum(parameter.numel() for parameter in layer.parameters())


@drawn
@given(convolutions())
def test_splitting_groups_keeps_all_macs(call: OpCall) -> None:
    try:
        whole = ops.cost(call)
    except InputError:
        return
    single, count = split_groups(call)
    assert count == (1 if is_depthwise(call) else call["groups"])
    part = ops.cost(single)
    assert part.macs is not None
    assert part.macs * count == whole.macs
    assert part.bytes_written * count == whole.bytes_written
    assert part.parameters * count == whole.parameters


@drawn
@given(convolutions(), st.integers(2, 5))
def test_macs_are_linear_in_the_batch(call: OpCall, factor: int) -> None:
    try:
        once = ops.cost(call)
    except InputError:
        return
    many = ops.cost(call.replace(batch=call["batch"] * factor))
    assert once.macs is not None
    assert many.macs == factor * once.macs
    assert many.bytes_written == factor * once.bytes_written
    assert many.parameters == once.parameters


@drawn
@given(SIZES, SIZES, SIZES, st.booleans())
def test_linear(m: int, n: int, k: int, bias: bool) -> None:
    call = matmul("linear", m, n, k, bias=bias)
    arguments = (meta(m, k), meta(n, k), meta(n) if bias else None)
    macs, shape = counted_macs(functional.linear, *arguments)
    assert ops.cost(call).macs == macs
    assert ops.output_shape(call) == (1, *shape)


@drawn
@given(SIZES, SIZES, SIZES, SIZES)
def test_matrix_products(batch: int, m: int, n: int, k: int) -> None:
    macs, shape = counted_macs(torch.mm, meta(m, k), meta(k, n))
    assert ops.cost(matmul("mm", m, n, k)).macs == macs
    assert ops.output_shape(matmul("mm", m, n, k)) == (1, *shape)
    macs, shape = counted_macs(torch.bmm, meta(batch, m, k), meta(batch, k, n))
    assert ops.cost(matmul("bmm", m, n, k, batch=batch)).macs == macs
    assert ops.output_shape(matmul("bmm", m, n, k, batch=batch)) == shape


@st.composite
def poolings(draw: Any) -> OpCall:
    rank = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["max_pool", "avg_pool"]))
    kernel, sides = per_side(draw, rank, 1, 4), per_side(draw, rank, 1, 12)
    if (kind, rank) == ("avg_pool", 3):  # torch does not count the padding here
        assume(all(k <= side for k, side in zip(kernel, sides, strict=True)))
    return pooling(
        kind,
        batch=draw(st.integers(1, 2)),
        channels=draw(st.integers(1, 3)),
        input_size=sides,
        kernel_size=kernel,
        stride=per_side(draw, rank, 1, 4),
        # torch refuses more than half the kernel
        padding=tuple(draw(st.integers(0, side // 2)) for side in kernel),
        dilation=per_side(draw, rank, 1, 3) if kind == "max_pool" else (1,) * rank,
        ceil_mode=draw(st.booleans()),
    )


def run_pooling(call: OpCall) -> torch.Tensor:
    options = {name: call[name] for name in ("kernel_size", "stride", "padding", "ceil_mode")}
    if call.kind.startswith("max"):
        options["dilation"] = call["dilation"]
    tensor = meta(call["batch"], call["channels"], *call["input_size"])
    return getattr(functional, call.kind)(tensor, **options)  # type: ignore[no-any-return]


@drawn
@given(poolings())
def test_poolings(call: OpCall) -> None:
    try:
        shape = ops.output_shape(call)
    except InputError:
        with pytest.raises(RuntimeError):
            run_pooling(call)
        return
    assert shape == tuple(run_pooling(call).shape)


@drawn
@given(st.sampled_from(["adaptive_avg_pool", "adaptive_max_pool"]), SIZES, SIZES, SIZES)
def test_adaptive_poolings(kind: str, channels: int, side: int, wanted: int) -> None:
    call = pooling(kind, channels=channels, input_size=(side, 5), output_size=(wanted, 2))
    run = getattr(functional, call.kind)
    assert ops.output_shape(call) == tuple(run(meta(1, channels, side, 5), (wanted, 2)).shape)


KINDS = st.sampled_from(["cat", "stack"])
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@drawn
@given(st.lists(SHAPES, min_size=1, max_size=4).map(tuple))
def test_broadcasting(shapes: tuple[tuple[int, ...], ...]) -> None:
    try:
        expected = tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        with pytest.raises(InputError, match="broadcast"):
            broadcast(shapes)
        return
    assert broadcast(shapes) == expected


@drawn
@given(st.lists(SHAPES, min_size=1, max_size=3), st.integers(-4, 4), KINDS)
def test_joining(shapes: list[tuple[int, ...]], dim: int, kind: str) -> None:
    check_joining(kind, shapes, dim)


@drawn
@given(SHAPES, st.integers(0, 3), st.integers(1, 3), KINDS)
def test_joining_equal_shapes(shape: tuple[int, ...], dim: int, count: int, kind: str) -> None:
    check_joining(kind, [shape] * count, dim)


def check_joining(kind: str, shapes: list[tuple[int, ...]], dim: int) -> None:
    call = movement(kind, *shapes, dim=dim)
    try:
        # the meta device is laxer here than a real one
        joined = getattr(torch, kind)([torch.empty(shape) for shape in shapes], dim)
    except (RuntimeError, IndexError):
        with pytest.raises(InputError):
            ops.output_shape(call)
        return
    assert ops.output_shape(call) == tuple(joined.shape)


@drawn
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(-2, 3), max_size=8).map(tuple),
)
def test_padding(shape: tuple[int, ...], pads: tuple[int, ...]) -> None:
    call = movement("pad", shape, pads=pads)
    try:
        padded = functional.pad(meta(*shape), list(pads))
    except RuntimeError:
        return
    assert ops.output_shape(call) == tuple(padded.shape)
    assert ops.cost(call).bytes_written == 4 * prod(padded.shape)


@drawn
@given(SHAPES, st.data(), st.booleans())
def test_reductions(shape: tuple[int, ...], data: st.DataObject, keepdim: bool) -> None:
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.sampled_from([0, -1])
    rank = max(len(shape), 1)
    dims = data.draw(st.lists(axes, unique_by=lambda dim: dim % rank, max_size=rank).map(tuple))
    reduced = torch.sum(meta(*shape), dim=dims or None, keepdim=keepdim)
    call = reduction("sum", shape, *dims, keepdim=keepdim)
    assert ops.output_shape(call) == tuple(reduced.shape)


@drawn
@given(SHAPES.filter(len), st.data())
def test_softmax_keeps_its_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    call = reduction("softmax", shape, dim)
    assert ops.output_shape(call) == tuple(torch.softmax(meta(*shape), dim).shape)
