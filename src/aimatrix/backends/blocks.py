"""What the layouts of a mix share on all frameworks: what is warm, what stands in for a call."""

from __future__ import annotations

from aimatrix import ops
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixStage
from aimatrix.ops.dtypes import itemsize
from aimatrix.ops.operand import Operand, activation


def trains(stage: MixStage) -> bool:
    """Whether a stage does what only training does: gradients, steps of an optimizer."""
    return any(call.phase != "forward" for call in stage.calls)


def is_warm(call: OpCall, operand: Operand) -> bool:
    """Whether an application writes an operand just before the call, if it is not of the block.

    What a backward pass takes besides has waited since the forward one, what an optimizer takes
    since the last step.
    """
    return call.phase == "forward" and operand.role == "activation"


def copied(call: OpCall, dtype: str = "float32") -> Operand:
    """The tensor whose copy moves as many bytes as ``call``, in whose place it runs."""
    elements = max(1, ops.cost(call).bytes // 2 // itemsize(dtype))
    return activation(elements, dtype=None if dtype == call.dtype else dtype)
