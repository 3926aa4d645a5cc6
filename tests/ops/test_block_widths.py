"""A block with other widths: what follows changes with what leads, or the block is none."""

from __future__ import annotations

import pytest

from aimatrix import ops
from aimatrix.analysis.likeness import kind_of_block
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.ops import blocks

WINDOW = {
    "stride": (1, 1),
    "padding": (1, 1),
    "dilation": (1, 1),
    "groups": 1,
    "output_padding": (0, 0),
    "kernel_size": (3, 3),
    "bias": False,
}


def call(family: str, kind: str, **attributes: object) -> OpCall:
    return OpCall.create(family, kind, attributes)


def conv(into: int, out: int) -> OpCall:
    sizes = {"batch": 2, "input_size": (16, 16), "in_channels": into, "out_channels": out}
    return call("convolution", "conv2d", **sizes, **WINDOW)


LINEAR = call("matmul", "linear", batch=1, m=256, n=512, k=128, bias=False)
GELU = call("elementwise", "gelu", inputs=((2, 128, 512),))
SHIFT = call("elementwise", "add", inputs=((2, 128, 512), (512,)))
NORM = call("normalization", "batch_norm", input=(2, 64, 16, 16), parameters=256)
MLP = Block((LINEAR, GELU, SHIFT), ((None, None), (0,), (1, None)))
LAYERS = Block(
    (conv(32, 64), NORM, conv(64, 128)),
    ((None, None), (0, None, None, None, None), (1, None)),
)


RECURRENT = {"batch": 8, "steps": 35, "rows": 280, "input_size": 650, "hidden_size": 650}
FLAGS = {"proj_size": 0, "bidirectional": False, "bias": True}


def lstm(layers: int) -> Block:
    """With a dropout behind; it takes an input, two states, and four tensors a layer."""
    layer = call("recurrent", "lstm", **RECURRENT, layers=layers, **FLAGS)
    dropout = call("elementwise", "dropout", inputs=((35, 8, 650),))
    return Block((layer, dropout), ((None,) * (3 + 4 * layers), (0,)))


def shapes(block: Block) -> list[tuple[int, ...] | None]:
    return [ops.output_shape(each) for each in block.calls]


@pytest.mark.parametrize("block", [MLP, LAYERS])
def test_its_own_widths_give_the_block_back(block: Block) -> None:
    assert blocks.with_widths(block, blocks.widths(block)) == block


def test_rows_and_features_of_a_product_are_those_of_what_follows() -> None:
    smaller = blocks.with_widths(MLP, (64, 128, 128))
    assert smaller is not None
    assert shapes(smaller) == [(1, 64, 128), (2, 32, 128), (2, 32, 128)]
    assert smaller.calls[2]["inputs"] == ((2, 32, 128), (128,))


def test_channels_and_sides_of_a_convolution_are_those_of_the_next() -> None:
    smaller = blocks.with_widths(LAYERS, (32, 32, 1, 8, 16))
    assert smaller is not None
    assert shapes(smaller) == [(1, 32, 8, 16), (1, 32, 8, 16), (1, 64, 8, 16)]
    assert smaller.calls[1]["parameters"] == 128


def test_fewer_recurrent_layers_take_fewer_weights_and_are_of_one_kind() -> None:
    hidden, inputs, batch, layers, steps = blocks.widths(lstm(2))
    assert layers == 2
    assert blocks.with_widths(lstm(2), (hidden, inputs, batch, 1, steps)) == lstm(1)
    assert kind_of_block(lstm(2)) == kind_of_block(lstm(1))


def test_no_block_takes_more_than_its_sources_put_out() -> None:
    for rows in (1, 3, 7, 100, 255):
        smaller = blocks.with_widths(MLP, (rows, 96, 128))
        if smaller is not None:
            assert blocks.put_out(smaller.calls[0]) >= blocks.put_out(smaller.calls[1]) > 0


def test_what_is_joined_keeps_its_proportions() -> None:
    image, other = (2, 64, 16, 16), (2, 192, 16, 16)
    joined = call("movement", "cat", inputs=(image, other), dim=1)
    block = Block((conv(32, 64), joined), ((None, None), (0, None)))
    smaller = blocks.with_widths(block, (32, 16, 1, 8, 8))
    assert smaller is not None
    assert smaller.calls[1]["inputs"] == ((1, 16, 8, 8), (1, 48, 8, 8))


def test_what_only_leads_does_not_follow_another_size() -> None:
    recurrent = call("matmul", "bmm", batch=2, m=128, n=4, k=512, bias=False)
    block = Block((LINEAR, recurrent), ((None, None), (0, None)))
    assert blocks.with_widths(block, (128, 512, 128)) is None


def test_a_size_that_makes_no_operator_makes_no_block() -> None:
    assert blocks.with_widths(LAYERS, (32, 64, 2, 0, 16)) is None


def test_the_cost_of_a_block_is_that_of_its_operators() -> None:
    cost = blocks.cost(MLP)
    assert cost.macs == ops.cost(LINEAR).macs
    assert cost.bytes == sum(ops.cost(each).bytes for each in MLP.calls)


def test_a_table_keeps_how_often_its_rows_are_hit() -> None:
    attributes = {"inputs": ((400, 8),), "outputs": ((400, 8),), "indices": 400, "rows": 100}
    chosen = call("indexing", "index_select", **attributes)
    table, index = ops.operands(chosen) or ()
    assert (table.shape, index.shape, index.bound) == ((100, 8), (400,), 100)
    half = ops.with_widths(chosen, (200,))
    assert (half["rows"], half["indices"], half["outputs"]) == (50, 200, ((200, 8),))
