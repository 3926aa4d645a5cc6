"""What a block of operators costs, and the same block with other widths.

The first operator leads a block: its widths are those of the block, and the others follow, each
fitted to what its source puts out then.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix import ops
from aimatrix.errors import InputError
from aimatrix.model.block import Block
from aimatrix.model.calls import Cost, OpCall

Shape = tuple[int, ...]


def single(call: OpCall) -> Block:
    """The block of one operator."""
    return Block((call,), (ops.alone(call),))


def cost(block: Block) -> Cost:
    """The sums over the operators; MACs and warps of those of which they are known."""
    costs = [ops.cost(call) for call in block.calls]
    return Cost(
        macs=sum(each.macs or 0 for each in costs),
        bytes_read=sum(each.bytes_read for each in costs),
        bytes_written=sum(each.bytes_written for each in costs),
        parameters=sum(each.parameters for each in costs),
        warps=sum(each.warps or 0 for each in costs),
    )


def put_out(call: OpCall) -> int:
    """Elements of what a call puts out that another can take; 0 where that is not known."""
    shape = None if ops.operands(call) is None else ops.output_shape(call)
    return 0 if shape is None else prod(shape)


def widths(block: Block) -> tuple[int, ...]:
    """The sizes of the block that a search may change."""
    return ops.widths(block.calls[0])


def least_widths(block: Block) -> tuple[int, ...]:
    """For each of `widths`, below what it makes kernels slower for each of its elements."""
    return ops.least_widths(block.calls[0])


def repeats_in(block: Block) -> tuple[bool, ...]:
    """For each of `widths`, whether it counts how often the same is done: items, rows, steps."""
    return ops.repeats_in(block.calls[0])


def with_widths(block: Block, widths: Sequence[int]) -> Block | None:
    """The block with other `widths`; None where its operators do not fit each other then."""
    try:
        calls = [ops.with_widths(block.calls[0], widths)]
        ops.cost(calls[0])
        for number in range(1, len(block.calls)):
            call = _following(block, number, calls)
            if call is None:
                return None
            ops.cost(call)  # checks that it is one
            calls.append(call)
    except InputError:
        return None
    # all that the first takes is its own, and fewer layers take fewer weights
    return Block(tuple(calls), (ops.alone(calls[0]), *block.sources[1:]))


def _following(block: Block, number: int, calls: Sequence[OpCall]) -> OpCall | None:
    """Operator ``number`` of the block as it follows those of ``calls``."""
    call: OpCall | None = block.calls[number]
    old = ops.operands(block.calls[number]) or ()
    for position, source in enumerate(block.sources[number]):
        if source is None or call is None:
            continue
        before, after = (ops.output_shape(each[source]) for each in (block.calls, calls))
        if before is None or after is None:
            return None
        shape = resized(old[position].shape, before, after)
        call = ops.family_of(call).fitted(call, position, shape)
    if call is None or not _fits(call, block.sources[number], calls):
        return None
    return call


def _fits(call: OpCall, sources: Sequence[int | None], calls: Sequence[OpCall]) -> bool:
    operands = ops.operands(call) or ()
    return all(
        source is None or put_out(calls[source]) >= prod(operand.shape) > 0
        for operand, source in zip(operands, sources, strict=False)
    )


def resized(shape: Shape, before: Shape, after: Shape) -> Shape:
    """What becomes of ``shape`` when that of its source, ``before``, becomes ``after``.

    The share of the source's elements stays, as far as whole numbers allow; never more than that.
    """
    if before == after or not shape:
        return shape
    if shape == before:
        return after
    if not before or not after:
        return shape
    rows, width = prod(before[:-1]), before[-1]
    new_rows, new_width = prod(after[:-1]), after[-1]
    result = list(shape)
    if new_width != width:
        result[-1] = result[-1] * new_width // width
    if new_rows != rows:
        axis = max(range(len(result) - 1), key=lambda each: result[each], default=0)
        result[axis] = result[axis] * new_rows // rows
    return tuple(result)
