"""What the objects tell that operators take besides tensors: packed weights and process groups.

Of packed weights, the shapes (and the strides of a convolution) can be told only by unpacking
them, which copies them: it is done once for each object. An object is known by its address, which
another may have once it is gone; so all are forgotten when weights are packed or loaded.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

#: what a convolution's packed weights tell besides them, in the order in which it is spelled
_OF_CONVOLUTIONS = ("stride", "padding", "output_padding", "dilation", "groups", "transpose")

#: operators with which every packed object begins, in the process or out of a file
_LOADING = (
    "aten::_empty_affine_quantized",
    "aten::_empty_per_channel_affine_quantized",
    "aten::_make_per_tensor_quantized_tensor",
    "aten::_make_per_channel_quantized_tensor",
)

#: address -> (what stands for it in keys, what it tells)
_known: dict[int, tuple[str, Any]] = {}


def brings_new(operator: str) -> bool:
    """Whether objects may have other addresses after this operator than before it."""
    return "prepack" in operator or operator in _LOADING


def forget_all() -> None:
    """Ask every object anew."""
    _known.clear()


def is_object(schema_type: str) -> bool:
    """Whether an argument of this type is an object of a class that torch's C++ has registered."""
    return schema_type.startswith("__torch__.torch.classes.")


def mark(value: Any) -> Hashable:
    """What stands for an object in keys: equal for objects that tell the same."""
    told = _told(value)
    return told[0] if isinstance(told, tuple) else told


def spelled(value: Any) -> Any:
    """What an object tells, in JSON; None where it tells nothing.

    Packed weights: weight, bias, and of a convolution what `_OF_CONVOLUTIONS` names. A process
    group, or its name: how many processes it has.
    """
    told = _told(value)
    return told[1] if isinstance(told, tuple) else told


def _told(value: Any) -> tuple[str, Any] | int | None:
    functions: Any = torch._C
    try:
        if isinstance(value, str):
            return int(functions._distributed_c10d._resolve_process_group(value).size())
        if not isinstance(value, torch.ScriptObject):
            return None
        if str(value._type()).endswith(".c10d.ProcessGroup"):
            return int(torch.distributed.ProcessGroup.unbox(value).size())
        address = hash(value)
        if address not in _known:
            parts = _unpacked(value)
            _known[address] = (repr(parts), parts)
        return _known[address]
    except (RuntimeError, AttributeError, NotImplementedError):
        return None  # a group that is gone, a class that tells nothing of the kind


def _unpacked(value: Any) -> list[Any]:
    with _disable_current_modes():
        weights = value.unpack()
        tensors = weights if isinstance(weights, tuple) else (weights,)
        parts = [None if tensor is None else spell_tensor(tensor) for tensor in tensors]
        if value._has_method(_OF_CONVOLUTIONS[0]):
            parts += [getattr(value, name)() for name in _OF_CONVOLUTIONS]
    return parts


def spell_tensor(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor in JSON: shape in elements, dtype, device type."""
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": tensor.device.type,
    }
