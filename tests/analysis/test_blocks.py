"""Blocks from counts of who feeds whom: the likeliest ones, with no call lost or doubled."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aimatrix.analysis.blocks import MOST_OPERATORS, find_blocks
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall


def conv(channels: int, kernel: int = 3) -> OpCall:
    attributes = {
        "batch": 1,
        "input_size": (8, 8),
        "in_channels": channels,
        "out_channels": channels,
        "kernel_size": (kernel, kernel),
        "stride": (1, 1),
        "padding": (kernel // 2, kernel // 2),
        "dilation": (1, 1),
        "groups": 1,
        "output_padding": (0, 0),
        "bias": False,
    }
    return OpCall.create("convolution", "conv2d", attributes)


def norm(channels: int) -> OpCall:
    attributes = {"input": (1, channels, 8, 8), "parameters": 4 * channels}
    return OpCall.create("normalization", "batch_norm", attributes)


def elementwise(kind: str, channels: int, operands: int = 1) -> OpCall:
    return OpCall.create("elementwise", kind, {"inputs": ((1, channels, 8, 8),) * operands})


CONV, NORM, RELU, ADD = conv(16), norm(16), elementwise("relu", 16), elementwise("add", 16, 2)


def kinds(found: Counter[Block]) -> dict[tuple[str, ...], int]:
    totals: Counter[tuple[str, ...]] = Counter()
    for block, count in found.items():
        totals[tuple(call.kind for call in block.calls)] += count
    return dict(totals)


def test_what_follows_a_convolution_is_in_its_block() -> None:
    found = find_blocks(
        {CONV: 5, NORM: 5, RELU: 5, ADD: 4},
        {(CONV, NORM): 5, (NORM, RELU): 5, (RELU, CONV): 4, (RELU, ADD): 4},
    )
    assert kinds(found) == {
        ("conv2d", "batch_norm", "relu", "add"): 4,
        ("conv2d", "batch_norm", "relu"): 1,
    }
    for block in found:
        assert block.sources[:3] == ((None, None), (0, None, None, None, None), (1,))


def test_equal_layers_with_another_between_them_are_one_block() -> None:
    """As a bottleneck, whose first two layers have equal normalizations and activations."""
    narrow, wide, middle = conv(16, 1), conv(16, 5), conv(16)
    pairs = {
        (narrow, NORM): 4,
        (middle, NORM): 4,
        (NORM, RELU): 8,
        (RELU, middle): 4,
        (RELU, wide): 4,
        (wide, ADD): 4,
        (ADD, narrow): 3,
        (ADD, ADD): 3,
    }
    found = find_blocks({narrow: 4, middle: 4, wide: 4, NORM: 8, RELU: 8, ADD: 4}, pairs)
    [block] = found
    assert [call["kernel_size"][0] for call in block.calls if call.family == "convolution"] == [
        1,
        3,
        5,
    ]
    assert [call.kind for call in block.calls][-1] == "add"


def test_a_residual_add_follows_what_nothing_else_takes() -> None:
    pairs = {(CONV, NORM): 4, (NORM, ADD): 4, (ADD, RELU): 4, (RELU, CONV): 3, (RELU, ADD): 3}
    found = find_blocks({CONV: 4, NORM: 4, ADD: 4, RELU: 4}, pairs)
    assert kinds(found) == {("conv2d", "batch_norm", "add", "relu"): 4}
    [block] = found
    assert block.sources[2] == (1, None)


def test_calls_that_only_sometimes_follow_make_two_blocks() -> None:
    found = find_blocks({CONV: 10, RELU: 6}, {(CONV, RELU): 6})
    assert kinds(found) == {("conv2d", "relu"): 6, ("conv2d",): 4}


def test_a_gate_takes_both_of_its_operands_from_the_block() -> None:
    sigmoid, product = elementwise("sigmoid", 16), elementwise("mul", 16, 2)
    pairs = {(CONV, sigmoid): 3, (CONV, product): 3, (sigmoid, product): 3}
    [block] = find_blocks({CONV: 3, sigmoid: 3, product: 3}, pairs)
    assert [call.kind for call in block.calls] == ["conv2d", "sigmoid", "mul"]
    assert set(block.sources[2]) == {0, 1}


def test_an_operand_of_another_size_does_not_come_from_the_block() -> None:
    found = find_blocks({CONV: 2, elementwise("relu", 32): 2}, {(CONV, elementwise("relu", 32)): 2})
    assert kinds(found) == {("conv2d",): 2, ("relu",): 2}


def test_part_of_what_is_put_out_is_enough() -> None:
    half = elementwise("relu", 8)
    assert kinds(find_blocks({CONV: 2, half: 2}, {(CONV, half): 2})) == {("conv2d", "relu"): 2}


def test_estimates_of_samples_are_taken_for_the_counts_that_they_are_near() -> None:
    found = find_blocks({CONV: 1000, RELU: 1000}, {(CONV, RELU): 940})
    assert kinds(found) == {("conv2d", "relu"): 1000}


def test_a_chain_longer_than_a_block_goes_on_in_another() -> None:
    chain = [elementwise(kind, 16) for kind in "abcdefghijklmnop"]
    pairs = {(CONV, chain[0]): 1} | dict.fromkeys(pairwise(chain), 1)
    found = find_blocks(dict.fromkeys([CONV, *chain], 1), pairs)
    assert sorted(len(block.calls) for block in found) == [17 - MOST_OPERATORS, MOST_OPERATORS]


def test_followers_in_a_circle_are_not_lost() -> None:
    assert kinds(find_blocks({RELU: 3, ADD: 3}, {(RELU, ADD): 3, (ADD, RELU): 3}))


OPERATORS = [conv(16), conv(8), norm(16), norm(8), RELU, ADD, elementwise("relu", 8)]


@given(
    st.dictionaries(st.sampled_from(OPERATORS), st.integers(1, 50), min_size=1),
    st.dictionaries(st.tuples(*[st.sampled_from(OPERATORS)] * 2), st.integers(1, 60)),
)
def test_every_call_is_in_one_block(
    counts: dict[OpCall, int], pairs: dict[tuple[OpCall, OpCall], int]
) -> None:
    found = find_blocks(counts, pairs)
    totals: Counter[OpCall] = Counter()
    for block, count in found.items():
        assert len(block.calls) <= MOST_OPERATORS
        for number, sources in enumerate(block.sources):
            assert all(source is None or source < number for source in sources)
        for call in block.calls:
            totals[call] += count
    assert totals == counts


@given(st.permutations(list(enumerate(OPERATORS))))
def test_the_order_of_counts_does_not_matter(order: list[tuple[int, OpCall]]) -> None:
    counts = {call: 3 + number for number, call in order}
    pairs = {(one, other): 2 for _, one in order for _, other in order}
    ordered = {call: 3 + number for number, call in enumerate(OPERATORS)}
    assert find_blocks(counts, pairs) == find_blocks(
        ordered, {(one, other): 2 for one in OPERATORS for other in OPERATORS}
    )
