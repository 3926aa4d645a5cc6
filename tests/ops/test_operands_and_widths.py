"""What a call reads, tensor by tensor, and the sizes that a search may change."""

from __future__ import annotations

from math import prod

import pytest
from laid_out import CALLS

from aimatrix import ops
from aimatrix.model.calls import OpCall
from aimatrix.ops.dtypes import itemsize

#: families count what is looked up, not the table; indices with what is read; moments once
APART = {
    "sort",
    "topk",
    "embedding",
    "embedding_bag",
    "index_add",
    "optimizer step",
    "batch_norm backward",
}


@pytest.mark.parametrize("name", [name for name in CALLS if name not in APART])
def test_operands_have_the_bytes_that_are_read(name: str) -> None:
    call = CALLS[name]
    operands = ops.operands(call)
    assert operands is not None
    read = sum(prod(each.shape) * itemsize(each.dtype or call.dtype) for each in operands)
    assert read == pytest.approx(ops.cost(call).bytes_read, rel=0.05)


@pytest.mark.parametrize("name", CALLS)
def test_widths_give_the_same_call_back(name: str) -> None:
    call = CALLS[name]
    assert ops.with_widths(call, ops.widths(call)) == call


@pytest.mark.parametrize("name", CALLS)
def test_twice_the_widths_make_a_larger_call_of_the_same_kind(name: str) -> None:
    call = CALLS[name]
    widths = ops.widths(call)
    larger = ops.with_widths(call, [2 * width for width in widths])
    assert (larger.family, larger.kind, larger.phase) == (call.family, call.kind, call.phase)
    if not widths:
        assert larger == call
        return
    assert ops.widths(larger) == tuple(2 * width for width in widths)
    assert ops.cost(larger).bytes > 1.4 * ops.cost(call).bytes
    assert (ops.cost(larger).macs or 0) >= 2 * (ops.cost(call).macs or 0)
    assert ops.operands(larger) is not None


def test_what_no_backend_lays_out_has_no_operands_and_no_widths() -> None:
    call = OpCall.create("unknown", "aten::new", {"inputs": ((2, 3),)})
    assert ops.operands(call) is None
    assert ops.widths(call) == ()


def test_the_weights_of_a_layer_are_told_from_its_activations() -> None:
    roles = {name: [each.role for each in ops.operands(CALLS[name]) or ()] for name in CALLS}
    assert roles["linear"] == ["activation", "weight", "weight"]
    assert roles["mm"] == ["activation", "activation"]
    # what adds a bias to a product multiplies weights
    assert roles["mm with bias"] == ["activation", "weight", "weight"]
    assert roles["sdpa"] == ["activation"] * 3
    assert roles["embedding"] == ["weight", "index"]
    assert roles["conv2d backward"] == ["activation", "activation", "weight"]


def test_alone_each_operand_is_a_calls_own_and_a_fill_has_none() -> None:
    for call in CALLS.values():
        assert ops.alone(call) == (None,) * len(ops.operands(call) or ())
    assert ops.alone(CALLS["fill"]) == ()
    # of what no family lays out, a copy runs, which takes one tensor
    assert ops.alone(OpCall.create("unknown", "aten::new", {"inputs": ()})) == (None,)
