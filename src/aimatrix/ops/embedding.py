"""Embedding: rows of a table, looked up one by one or summed in bags; and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.dtypes import INDEX_BYTES
from aimatrix.ops.family import Family, is_flag, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, index, weight

_KINDS = ("embedding", "embedding_bag", "embedding_backward", "embedding_bag_backward")


class Embedding(Family):
    """Kinds: embedding, embedding_bag, embedding_backward, embedding_bag_backward.

    Attributes: rows (of the table), width, indices (how many are looked up), outputs (how many
    rows come out: as many as indices, or bags), weighted (whether each row of a bag is
    multiplied by a weight: a multiply-add an element; else there are none). Each row looked up
    is read once for each index, whichever it is: indices are data, which nobody reads. The
    gradient writes the whole table, as torch's dense one does.
    """

    name = "embedding"
    formulas = (
        Formula(
            output="(outputs, width)",
            macs="0; indices width where weighted",
            read="indices width, + indices where weighted, + 8 bytes an index",
            written="outputs width",
            parameters="rows width",
            source="torch.nn.Embedding, torch.nn.EmbeddingBag",
        ),
        Formula(
            of="_backward",
            output="(rows, width); a sparse gradient has as many rows as indices",
            macs="as forward",
            read="outputs width, + 8 bytes an index",
            written="rows width",
            parameters="rows width",
            source="torch.nn.Embedding, argument sparse",
        ),
    )
    required = {
        "rows": is_size,
        "width": is_size,
        "indices": is_size,
        "outputs": is_size,
        "weighted": is_flag,
    }

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that the kind is known."""
        super().check(call)
        if call.kind not in _KINDS:
            raise InputError(f"{call.kind!r} is no embedding")

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """Table and indices; of a backward kind the output's gradient and indices."""
        indices = index(call["indices"], call["rows"])
        if _is_backward(call):
            return (activation(call["outputs"], call["width"]), indices)
        return (weight(call["rows"], call["width"]), indices)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(outputs, width, rows); each output keeps its number of indices."""
        return (call["outputs"], call["width"], call["rows"])

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: outputs."""
        return (True, False, False)

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them."""
        outputs, width, rows = widths
        each = max(1, call["indices"] // max(1, call["outputs"]))
        return call.replace(outputs=outputs, width=width, rows=rows, indices=outputs * each)

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return (call["rows"] if _is_backward(call) else call["outputs"], call["width"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        width, indices, table = call["width"], call["indices"], call["rows"] * call["width"]
        read, written = indices * width, call["outputs"] * width
        if _is_backward(call):
            read, written = written, table
        weights = indices if call["weighted"] else 0
        return Cost(
            macs=weights * width,
            bytes_read=(read + weights) * itemsize + indices * INDEX_BYTES,
            bytes_written=written * itemsize,
            parameters=table,
            warps=launch.vector_warps(written),
        )


def _is_backward(call: OpCall) -> bool:
    return call.kind.endswith("_backward")
