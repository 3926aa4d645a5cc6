"""JAX's primitives as canonical calls: of the equations that JAX itself makes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix import ops
from aimatrix.dialects import translate
from aimatrix.dialects.jax import RULES
from aimatrix.dialects.raw import RawCall, TensorArg, from_json
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.agent.jaxpr import list_work

jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax

Calls = list[tuple[OpCall, int]]


def work(function: Callable[..., Any], *shapes: Any) -> Calls:
    """(call, times) of what a function does with arrays of these shapes."""
    arrays = [
        jax.ShapeDtypeStruct(shape, "float32") if isinstance(shape, tuple) else shape
        for shape in shapes
    ]
    parts = list_work(jax.jit(function).trace(*arrays).jaxpr, "cpu")
    return [(translate(from_json(json.dumps(part))), part["times"]) for part in parts]


def macs(calls: Calls, phase: str | None = None) -> int:
    """All multiply-adds, which must be known."""
    total = 0
    for call, times in calls:
        if phase in (None, call.phase):
            found = ops.cost(call).macs
            assert found is not None, call
            total += found * times
    return total


def only(calls: Calls, family: str) -> OpCall:
    ((call, times),) = [(call, times) for call, times in calls if call.family == family]
    assert times == 1
    return call


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_products_count_every_multiply_add(data: st.DataObject) -> None:
    sizes = st.lists(st.integers(1, 5), max_size=2)
    batch, sums, rows, columns = (data.draw(sizes) for _ in range(4))

    def side(others: list[int]) -> tuple[tuple[int, ...], list[int], list[int]]:
        """(shape, axes of sums, axes of batches) with the axes in any order."""
        labels = [("b", i) for i in range(len(batch))] + [("s", i) for i in range(len(sums))]
        labels += [("o", i) for i in range(len(others))]
        order = data.draw(st.permutations(labels))
        size = {"b": batch, "s": sums, "o": others}
        places = {label: place for place, label in enumerate(order)}
        return (
            tuple(size[kind][index] for kind, index in order),
            [places["s", index] for index in range(len(sums))],
            [places["b", index] for index in range(len(batch))],
        )

    left, left_sums, left_batch = side(rows)
    right, right_sums, right_batch = side(columns)
    dimensions = (left_sums, right_sums), (left_batch, right_batch)
    call = only(work(lambda a, b: lax.dot_general(a, b, dimensions), left, right), "matmul")
    assert ops.cost(call).macs == prod(batch) * prod(sums) * prod(rows) * prod(columns)
    assert call.kind == ("bmm" if batch else "mm")
    assert prod(ops.output_shape(call) or ()) == prod(batch) * prod(rows) * prod(columns)


LAYOUTS = [
    ("NHWC", "HWIO", "NHWC"),
    ("NCHW", "OIHW", "NCHW"),
    ("NHWC", "OHWI", "NHWC"),
    ("NCHW", "HWIO", "NHWC"),
]


def placed(spec: str, **sizes: Any) -> tuple[int, ...]:
    return tuple(sizes[letter] for letter in spec)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_and_their_gradients_count_every_multiply_add(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    into, out = (groups * data.draw(st.integers(1, 3)) for _ in range(2))
    kernel, stride, dilation = (
        [data.draw(st.integers(1, most)) for _ in range(2)] for most in (3, 3, 2)
    )
    height, width, batch = (data.draw(st.integers(*span)) for span in ((7, 9), (7, 9), (1, 3)))
    padding = data.draw(
        st.sampled_from(["SAME", "VALID", [(1, 1), (1, 1)], [(0, 1), (2, 1)], [(2, 0), (0, 0)]])
    )

    def layer(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            x,
            w,
            stride,
            padding,
            rhs_dilation=dilation,
            dimension_numbers=layout,
            feature_group_count=groups,
        )

    x = placed(layout[0], N=batch, H=height, W=width, C=into)
    w = placed(layout[1], O=out, I=into // groups, H=kernel[0], W=kernel[1])
    output = jax.eval_shape(
        layer, jax.ShapeDtypeStruct(x, "float32"), jax.ShapeDtypeStruct(w, "float32")
    )
    forward = only(work(layer, x, w), "convolution")
    expected = prod(output.shape) * into // groups * prod(kernel)
    assert ops.cost(forward).macs == expected
    assert forward["stride"] == tuple(stride)

    def loss(x: Any, w: Any) -> Any:
        return jnp.sum(layer(x, w) ** 2)

    calls = work(jax.grad(loss, (0, 1)), x, w)
    backward = [call for call, _ in calls if call.kind == "conv2d_backward"]
    assert Counter(call["input_gradient"] for call in backward) == {True: 1, False: 1}
    for call in backward:
        assert call.phase == "backward"
        assert ops.cost(call).macs == expected
        for name in ("batch", "in_channels", "out_channels", "groups", "kernel_size", "stride"):
            assert call[name] == forward[name], name
    assert macs(calls, "forward") == expected


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(2, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["SAME", "VALID"]),
)
def test_transposed_convolutions_count_as_pytorchs_do(
    kernel: int, stride: int, into: int, out: int, padding: str
) -> None:
    def layer(x: Any, w: Any) -> Any:
        return lax.conv_transpose(x, w, (stride, stride), padding)

    x, w = (2, 5, 6, into), (kernel, kernel, into, out)
    given_shape = jax.eval_shape(layer, *(jax.ShapeDtypeStruct(s, "float32") for s in (x, w))).shape
    call = only(work(layer, x, w), "convolution")
    assert call.kind == "conv_transpose2d"
    assert ops.cost(call).macs == prod(x) * out * kernel**2
    batch, height, width, channels = given_shape
    assert ops.output_shape(call) == (batch, channels, height, width)
    calls = work(jax.grad(lambda x, w: jnp.sum(layer(x, w) ** 2), (0, 1)), x, w)
    backward = [call for call, _ in calls if call.kind == "conv_transpose2d_backward"]
    assert [ops.cost(call).macs for call in backward] == [ops.cost(call).macs for _ in range(2)]


def test_a_convolution_that_a_backward_pass_repeats_is_a_forward_one() -> None:
    @jax.checkpoint
    def block(x: Any, w: Any) -> Any:
        return jnp.sin(lax.conv(x, w, (1, 1), "SAME"))

    calls = work(jax.grad(lambda x, w: jnp.sum(block(x, w))), (1, 2, 5, 5), (3, 2, 3, 3))
    found = [(call.kind, call.phase) for call, _ in calls if call.family == "convolution"]
    again = [("conv2d", "backward"), ("conv2d_backward", "backward")]
    assert found == [("conv2d", "forward"), *again]


def test_a_training_step_counts_as_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    from aimatrix.dialects import aten
    from aimatrix.monitoring.in_process import record_calls

    #: (filters, stride, padding, groups): a stem, a depthwise layer, a projection, a last layer
    layers = [((8, 3, 7, 7), 2, 3, 1), ((8, 1, 3, 3), 2, 1, 8), ((6, 8, 1, 1), 1, 0, 1)]
    shape = (2, 3, 33, 32)

    def step(x: Any, *filters: Any) -> Any:
        for w, (_, stride, padding, groups) in zip(filters, layers, strict=True):
            x = lax.conv_general_dilated(
                x, w, (stride, stride), [(padding, padding)] * 2, feature_group_count=groups
            )
        return jnp.sum(x**2)

    numbers = tuple(range(1, len(layers) + 1))
    ours = work(jax.grad(step, numbers), shape, *(layer[0] for layer in layers))

    def train() -> None:
        x = torch.ones(shape)
        for filters, stride, padding, groups in layers:
            w = torch.ones(filters, requires_grad=True)
            x = torch.conv2d(x, w, None, stride, padding, 1, groups)
        (x**2).sum().backward()

    theirs = [(translate(raw), 1) for raw in record_calls(train, aten.ATTRIBUTES)]
    for phase in ("forward", "backward"):
        assert macs(ours, phase) == macs(theirs, phase) > 0
    forward = [
        [call for call, _ in calls if (call.kind, call.phase) == ("conv2d", "forward")]
        for calls in (ours, theirs)
    ]
    assert forward[0] == forward[1]


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str, str]] = {
    "relu": (lambda x: jnp.maximum(x, 0), ((2, 3),), "elementwise", "maximum"),
    "gelu's erf": (lax.erf, ((2, 3),), "elementwise", "erf"),
    "sigmoid": (lax.logistic, ((2, 3),), "elementwise", "sigmoid"),
    "where": (lambda x: jnp.where(True, x, 2 * x), ((2, 3),), "elementwise", "where"),
    "sum": (lambda x: jnp.sum(x, 1), ((2, 3),), "reduction", "sum"),
    "sum of a number": (lambda x: x + jnp.sum(4.0), ((2, 3),), "reduction", "sum"),
    "max": (lambda x: jnp.max(x, 1), ((2, 3),), "reduction", "amax"),
    "argmax": (lambda x: jnp.argmax(x, 1), ((2, 3),), "reduction", "argmax"),
    "cumsum": (lambda x: lax.cumsum(x, 1), ((2, 3),), "reduction", "cumsum"),
    "cummax": (lambda x: lax.cummax(x, 1), ((2, 3),), "elementwise", "cummax"),
    "sort": (lax.sort, ((2, 3),), "sorting", "sort"),
    "top k": (lambda x: lax.top_k(x, 2), ((2, 3),), "sorting", "topk"),
    "lookup": (lambda x: x[jnp.array([1, 0])], ((2, 3),), "indexing", "gather"),
    "write": (lambda x: x.at[0].add(1.0), ((2, 3),), "indexing", "scatter_add"),
    "slice": (lambda x: lax.dynamic_slice(x, (0, 1), (1, 1)), ((2, 3),), "indexing", None),
    "fft": (jnp.fft.rfft, ((2, 8),), "fourier", "r2c"),
    "inverse": (jnp.fft.irfft, ((2, 5),), "fourier", "c2r"),
    "join": (lambda x: jnp.concatenate([x, x], 1), ((2, 3),), "movement", "cat"),
    "pad": (lambda x: jnp.pad(x, 1), ((2, 3),), "movement", "pad"),
    "cast": (lambda x: x.astype("bfloat16"), ((2, 3),), "movement", "copy"),
    "zeros": (lambda: jnp.zeros((2, 3)), (), "movement", "fill"),
    "range": (lambda: jnp.arange(5), (), "movement", "fill"),
    "transpose": (lambda x: x.T, ((2, 3),), "movement", "view"),
    "flip": (lambda x: x[::-1], ((2, 3),), "movement", "copy"),
    "spread": (
        lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 1)]),
        ((2, 3),),
        "indexing",
        "slice_backward",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_primitives_have_pytorchs_families_and_kinds(name: str) -> None:
    function, shapes, family, kind = CASES[name]
    calls = work(function, *shapes)
    assert all(call.family != "unknown" for call, _ in calls)
    found = {(call.family, call.kind) for call, _ in calls}
    assert (family, kind or "dynamic_slice") in found


def test_poolings_are_pytorchs_in_either_layout() -> None:
    def pool(window: tuple[int, ...], stride: tuple[int, ...], padding: Any) -> Any:
        return lambda x: lax.reduce_window(x, -jnp.inf, lax.max, window, stride, padding)

    last = only(work(pool((1, 3, 3, 1), (1, 2, 2, 1), "VALID"), (2, 9, 8, 4)), "pooling")
    first = only(work(pool((1, 1, 3, 3), (1, 1, 2, 2), "VALID"), (2, 4, 9, 8)), "pooling")
    assert last == first
    assert (last.kind, ops.output_shape(last)) == ("max_pool2d", (2, 4, 4, 3))
    uneven = only(work(pool((1, 3, 3, 1), (1, 2, 2, 1), "SAME"), (2, 8, 8, 4)), "pooling")
    assert (uneven["input_size"], uneven["padding"]) == ((9, 9), (0, 0))
    calls = work(
        jax.grad(lambda x: pool((1, 2, 2, 1), (1, 2, 2, 1), "VALID")(x).sum()), (2, 8, 8, 4)
    )
    backward = only([each for each in calls if each[0].phase == "backward"], "pooling")
    assert (backward.kind, backward["input_size"]) == ("max_pool2d_backward", (8, 8))


def test_dtypes_are_those_of_what_moves() -> None:
    half = jax.ShapeDtypeStruct((2, 3), "bfloat16")
    chosen = only(work(lambda x: jnp.where(x > 0, x, 2 * x), half)[-1:], "elementwise")
    assert (chosen.kind, chosen.dtype) == ("where", "bfloat16")
    filled = only(work(lambda: jnp.zeros(4, "bfloat16")), "movement")
    assert ops.cost(filled).bytes == 8


def test_loops_count_each_run_and_what_data_decide_is_unknown() -> None:
    def times(function: Callable[..., Any], *more: Any) -> int:
        calls = work(function, (4, 4), *more)
        assert all(call.family != "unknown" for call, _ in calls)
        return sum(count for call, count in calls if call.family == "matmul")

    assert times(lambda x: lax.scan(lambda c, _: (c @ c, None), x, None, length=7)[0]) == 7
    assert times(lambda x: lax.fori_loop(0, 5, lambda _, c: c @ c, x)) == 5
    assert times(lambda x: lax.scan(lambda c, _: (c @ c, None), x, None, length=0)[0]) == 0

    def counting(limit: int, step: int) -> Callable[[Any], Any]:
        return lambda x: lax.while_loop(
            lambda c: c[0] < limit, lambda c: (c[0] + step, c[1] @ c[1]), (0, x)
        )

    assert times(counting(5, 2)) == 3
    assert times(counting(-1, 1)) == 0
    assert times(lambda x, p: lax.cond(p, jnp.dot, lambda a, b: b @ a, x, x), True) == 1
    unknown = [
        work(lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c @ c, x), (4, 4)),
        work(lambda x, n: lax.fori_loop(0, n, lambda _, c: c @ c, x), (4, 4), 3),
        work(lambda x, p: lax.cond(p, lambda a: a @ a, lambda a: a, x), (4, 4), True),
    ]
    found = [[call.kind for call, _ in calls if call.family == "unknown"] for calls in unknown]
    assert found == [["jax::while"], ["jax::while"], ["jax::cond"]]


def test_a_jaxpr_that_is_called_often_is_listed_once() -> None:
    def doubled(function: Any) -> Any:
        return jax.jit(lambda x: function(function(x)))

    function = jax.jit(lambda x: x @ x)
    for _ in range(25):
        function = doubled(function)
    assert macs(work(function, (2, 2))) == 8 * 2**25


def test_scopes_of_the_users_do_not_make_a_backward_pass() -> None:
    def scoped(x: Any) -> Any:
        with jax.named_scope("transpose(jvp(f))"):
            return x @ x

    assert {call.phase for call, _ in work(scoped, (4, 4))} == {"forward"}
    calls = work(jax.grad(lambda x: scoped(x).sum()), (4, 4))
    assert (macs(calls, "forward"), macs(calls, "backward")) == (64, 2 * 64)


ARGUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 6)
    | st.builds(TensorArg, st.lists(st.integers(0, 5), max_size=5).map(tuple)),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=12,
)
NAMES = (
    "dimension_numbers window_strides padding lhs_dilation rhs_dilation feature_group_count"
    " batch_group_count window_dimensions padding_config axes axis dimension fft_lengths layout"
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(RULES)),
    st.sampled_from(["forward", "backward"]),
    st.dictionaries(st.sampled_from(["inputs", "outputs", *NAMES.split()]), ARGUMENTS),
)
def test_no_call_makes_the_translation_fail(name: str, phase: str, arguments: Any) -> None:
    call = translate(RawCall(f"jax::{name}", arguments, phase=phase, dialect="jax"))
    ops.cost(call)
    assert call.phase == phase
