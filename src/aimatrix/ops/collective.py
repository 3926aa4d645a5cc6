"""Collectives: what the processes of a distributed application send each other."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.family import Family, is_count, is_shapes
from aimatrix.ops.formula import Formula

_KINDS = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
    "send",
    "recv",
)


def _is_group_size(value: Any) -> bool:
    return value is None or is_count(value)


class Collective(Family):
    """Kinds: all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce, gather,
    scatter, send, recv.

    Attributes: inputs and outputs (shapes, as this process has them), group_size (processes that
    take part; None where the call does not tell). Bytes are those that this process reads and
    writes in its memory, not those on a wire, which the algorithm decides. How many warps a
    library uses for it is its own choice: not known.
    """

    name = "collective"
    formulas = (
        Formula(
            output="as given",
            macs="0",
            read="inputs",
            written="outputs",
            source="torch.distributed, Collective functions; NCCL, Operations",
        ),
    )
    required = {"inputs": is_shapes, "outputs": is_shapes, "group_size": _is_group_size}

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that the kind is known."""
        super().check(call)
        if call.kind not in _KINDS:
            raise InputError(f"{call.kind!r} is no collective")

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        outputs = call["outputs"]
        return outputs[0] if len(outputs) == 1 else None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        return Cost(
            macs=0,
            bytes_read=sum(prod(shape) for shape in call["inputs"]) * itemsize,
            bytes_written=sum(prod(shape) for shape in call["outputs"]) * itemsize,
        )
