"""Scaled dot-product attention, forward and backward, with grouped and multiple queries."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_count, is_flag, is_shape, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation


def _is_mask(value: Any) -> bool:
    return value is None or is_shape(value)


class Attention(Family):
    """Kinds: sdpa, sdpa_backward.

    Attributes: batch, heads (of the queries), kv_heads, query_len, key_len, head_dim (of queries
    and keys), value_dim; causal; mask (the shape of what is added to the scores or masks them, or
    None). A causal attention counts in full: that is what the field counts, and what kernels
    that skip the masked half are measured against.
    """

    name = "attention"
    formulas = (
        Formula(
            output="(batch, heads, query_len, value_dim)",
            macs=(
                "batch heads query_len key_len (head_dim + value_dim): scores, and what they weigh"
            ),
            read="queries, keys, values, mask",
            written="output",
            source=(
                "Vaswani et al. 2017, arXiv:1706.03762, section 3.2; counted in full when"
                " causal, as Dao 2023, arXiv:2307.08691, section 4.1, without its halving"
            ),
        ),
        Formula(
            of="_backward",
            output="as the queries",
            macs=(
                "batch heads query_len key_len (3 head_dim + 2 value_dim): the scores "
                "again, then four gradients"
            ),
            read="as forward, with the output and its gradient",
            written="gradients of queries, keys, values",
            source="Dao 2023, arXiv:2307.08691, algorithm 2: five products for forward's two",
        ),
    )
    required = {
        "batch": is_size,
        "heads": is_count,
        "kv_heads": is_count,
        "query_len": is_size,
        "key_len": is_size,
        "head_dim": is_size,
        "value_dim": is_size,
        "causal": is_flag,
        "mask": _is_mask,
    }

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that the heads of keys divide those of queries."""
        super().check(call)
        if call.kind not in ("sdpa", "sdpa_backward"):
            raise InputError(f"{call.kind!r} is no attention")
        if call["heads"] % call["kv_heads"]:
            raise InputError(f"an {call.kind} has heads that its kv_heads do not divide")

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """Queries, keys, values, each (batch, heads, length, features), and the mask if any.

        Of a backward kind: the output's gradient, queries, keys, values, output, and the logarithm
        of the sums of each query's weights, (batch, heads, query_len) in float32.
        """
        batch, heads, kv_heads = call["batch"], call["heads"], call["kv_heads"]
        queries = activation(batch, heads, call["query_len"], call["head_dim"])
        keys = activation(batch, kv_heads, call["key_len"], call["head_dim"])
        values = activation(batch, kv_heads, call["key_len"], call["value_dim"])
        if call.kind == "sdpa":
            mask = () if call["mask"] is None else (activation(*call["mask"]),)
            return (queries, keys, values, *mask)
        output = activation(batch, heads, call["query_len"], call["value_dim"])
        sums = activation(batch, heads, call["query_len"], dtype="float32")
        return (output, queries, keys, values, output, sums)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(batch, query_len, key_len); one length of attention to itself: (batch, length)."""
        if call["query_len"] == call["key_len"]:
            return (call["batch"], call["query_len"])
        return (call["batch"], call["query_len"], call["key_len"])

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: items of the batch."""
        return (True, False, False)[: len(self.widths(call))]

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them; a mask keeps the axes that are not broadcast."""
        batch, queries, keys = widths if len(widths) == 3 else (*widths, widths[1])
        sizes = {"batch": batch, "query_len": queries, "key_len": keys}
        return call.replace(**sizes, mask=_resized_mask(call, batch, queries, keys))

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return (call["batch"], call["heads"], call["query_len"], call["value_dim"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        queries = call["batch"] * call["heads"] * call["query_len"]
        pairs = queries * call["key_len"]
        keys = call["batch"] * call["kv_heads"] * call["key_len"]
        head_dim, value_dim = call["head_dim"], call["value_dim"]
        inputs = queries * head_dim + keys * (head_dim + value_dim)
        outputs = queries * value_dim
        mask = 0 if call["mask"] is None else prod(call["mask"])
        heads = call["batch"] * call["heads"]
        if call.kind == "sdpa":
            return Cost(
                macs=pairs * (head_dim + value_dim),
                bytes_read=(inputs + mask) * itemsize,
                bytes_written=outputs * itemsize,
                warps=launch.attention_warps(call["query_len"], heads),
            )
        # Of scores (again), queries and keys: three products of depth head_dim; of probabilities
        # and values: two of depth value_dim. Read besides: the output and its gradient.
        return Cost(
            macs=pairs * (3 * head_dim + 2 * value_dim),
            bytes_read=(inputs + 2 * outputs + mask) * itemsize,
            bytes_written=inputs * itemsize,
            warps=launch.attention_backward_warps(call["key_len"], heads),
        )


def _resized_mask(call: OpCall, batch: int, queries: int, keys: int) -> tuple[int, ...] | None:
    mask = call["mask"]
    if mask is None:
        return None
    new = (batch, call["heads"], queries, keys)[-len(mask) :] if mask else ()
    return tuple(1 if old == 1 else size for old, size in zip(mask, new, strict=True))
