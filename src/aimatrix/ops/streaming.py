"""Operators that read their inputs once, write their outputs once, and have no multiply-adds.

Losses, sorting, changes of resolution, reading and writing by index: families apart, so that a
profile shows which of them an application has; their cost is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.dtypes import INDEX_BYTES
from aimatrix.ops.family import Family, is_shapes, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, index

#: kinds that read rows, and kinds that add to rows, by an index
READING = frozenset({"index", "gather", "index_select", "take_along_dim"})
ADDING = frozenset({"index_add", "scatter_add", "index_put", "scatter_reduce"})

#: the least channels of an image that is resampled: threads share them out
LEAST_IMAGES = 32


class Streaming(Family):
    """Kinds: the operator's own name.

    Attributes: inputs and outputs (shapes of what is read and written; of a table only what is
    looked up), indices (whole numbers read or written besides, of 8 bytes each). Where data
    determine how much comes out (nonzero), outputs are left empty: bytes are a lower bound.
    """

    required = {"inputs": is_shapes, "outputs": is_shapes, "indices": is_size}

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        outputs = call["outputs"]
        return outputs[0] if len(outputs) == 1 else None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        read = sum(prod(shape) for shape in call["inputs"])
        written = sum(prod(shape) for shape in call["outputs"])
        return Cost(
            macs=0,
            bytes_read=read * itemsize + call["indices"] * INDEX_BYTES,
            bytes_written=written * itemsize,
            warps=launch.scalar_warps(max(read, written)),
        )


class Loss(Streaming):
    """Kinds: cross_entropy_loss, mse_loss ...; with _backward behind, their gradients."""

    name = "loss"
    formulas = (
        Formula(
            output="as given",
            macs="0",
            read="inputs, + 8 bytes an index",
            written="outputs",
            source="torch.nn, Loss Functions",
        ),
    )


class Sorting(Streaming):
    """Kinds: sort, argsort, topk, unique ... The indices that come out count as indices."""

    name = "sorting"
    formulas = (
        Formula(
            output="as given",
            macs="0",
            read="inputs, + 8 bytes an index",
            written="outputs",
            source="torch.sort, torch.topk",
        ),
    )

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """What is sorted."""
        shapes = [shape for shape in call["inputs"] if shape]
        return (activation(*shapes[0]),) if shapes else None


class Resampling(Streaming):
    """Kinds: upsample_nearest2d ..., grid_sampler, im2col, col2im; with _backward, gradients."""

    name = "resampling"
    formulas = (
        Formula(
            output="as given",
            macs="0",
            read="inputs, + 8 bytes an index",
            written="outputs",
            source="torch.nn.functional.interpolate, grid_sample, unfold",
        ),
    )

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """The input of a change of resolution; None for the other kinds, and gradients."""
        if not call.kind.startswith("upsample") or call.kind.endswith("_backward"):
            return None
        return (activation(*call["inputs"][0]),)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """Channels of what a change of resolution takes."""
        is_image = self.operands(call) is not None and len(call["inputs"][0]) > 2
        return (call["inputs"][0][1],) if is_image else ()

    def least_widths(self, call: OpCall) -> tuple[int, ...]:
        """As `Family.least_widths`: each channel is an image."""
        return (LEAST_IMAGES,) * len(self.widths(call))

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them."""
        if not widths:
            return call
        changed = {
            name: tuple((shape[0], widths[0], *shape[2:]) for shape in call[name])
            for name in ("inputs", "outputs")
        }
        return call.replace(**changed)


class Indexing(Streaming):
    """Kinds: index, gather, index_select (reading); scatter, index_put, index_add (writing)."""

    name = "indexing"
    formulas = (
        Formula(
            output="as given",
            macs="0",
            read="inputs, + 8 bytes an index",
            written="outputs",
            source="torch.gather, torch.Tensor.scatter_, numpy.org/doc, Indexing",
        ),
    )

    def check(self, call: OpCall) -> None:
        """As `Family.check`; rows is a size where it is told."""
        super().check(call)
        if "rows" in dict(call.attributes):
            self.check_attributes(call, {"rows": is_size})

    def operands(self, call: OpCall) -> tuple[Operand, ...] | None:
        """Rows, and which of them: those of a table, or those added to, and what is added.

        None for kinds whose work is not that of whole rows, or whose data tell how much there is.
        """
        if not _of_rows(call):
            return None
        rows, width = _as_rows(_moved(call))
        table = call["rows"] if "rows" in dict(call.attributes) else rows
        taken = (activation(table, width), index(rows, table))
        return taken if call.kind in READING else (*taken, activation(rows, width))

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """Rows that are read or written; of what no family lays out, none."""
        return (_moved(call)[0],) if _of_rows(call) else ()

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them; a table changes with them, so that rows are hit as often."""
        if not widths:
            return call
        old, (new,) = _moved(call)[0], widths
        attributes = {
            name: tuple((new, *shape[1:]) if shape[0] == old else shape for shape in call[name])
            for name in ("inputs", "outputs")
        }
        more = {}
        if "rows" in dict(call.attributes):
            more["rows"] = max(1, call["rows"] * new // old)
        return call.replace(**attributes, indices=call["indices"] * new // old, **more)

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        shape = super()._output_shape(call)
        if "rows" not in dict(call.attributes) or call.kind not in ADDING or not shape:
            return shape
        return (call["rows"], *shape[1:])


def _of_rows(call: OpCall) -> bool:
    """Whether whole rows are read or added to, as many as shapes tell."""
    known = call.kind in READING or call.kind in ADDING
    shapes = (*call["inputs"], *call["outputs"])
    return bool(known and call["inputs"] and call["outputs"] and all(shapes) and _moved(call)[1:])


def _moved(call: OpCall) -> tuple[int, ...]:
    """The shape of what is read, or of what is added."""
    shape: tuple[int, ...] = call["outputs"][0] if call.kind in READING else call["inputs"][-1]
    return shape


def _as_rows(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], prod(shape[1:])
