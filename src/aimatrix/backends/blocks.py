"""What the layouts of a mix share on all frameworks: dtypes, and what stands in for a call."""

from __future__ import annotations

from aimatrix import ops
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixStage
from aimatrix.ops.dtypes import itemsize
from aimatrix.ops.operand import Operand, activation


def calls_of(stage: MixStage, old: str, new: str) -> list[OpCall]:
    """The calls of a stage; what is of the dtype ``old`` is of ``new``."""
    return [call.with_dtype(new) if call.dtype == old else call for call in stage.calls]


def copied(call: OpCall) -> Operand:
    """The tensor whose copy moves as many bytes as ``call``, in whose place it runs."""
    elements = max(1, ops.cost(call).bytes // 2 // itemsize("float32"))
    return activation(elements, dtype="float32")
