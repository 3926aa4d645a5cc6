"""The parameters of fused optimizers, whose lists are too long for a trace: from their gradients.

Before its step, autograd has accumulated one gradient for each parameter, each in a range that
tells its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.call_tree import Kind
from aimatrix.importers.dtypes import torch_dtype
from aimatrix.importers.kineto.events import ACCUMULATED, Inputs, Range

Tensors = tuple[TensorArg, ...]
FUSED = "aten::_fused_"

#: lists that a fused optimizer has besides parameters and gradients -> the argument that tells
#: whether it is in use
_IN_USE = {"max_exp_avg_sqs": "amsgrad", "momentum_buffer_list": "momentum"}
_STEPS = "state_steps"


def accumulated_before_steps(ranges: Iterable[Range]) -> dict[Range, Tensors]:
    """The gradients accumulated since the step before, of each call of a fused optimizer.

    Calls that share them, for parameters in several groups, are left out.
    """
    gradients: list[TensorArg] = []
    stepping: list[Range] = []
    found: dict[Range, Tensors] = {}
    for each in sorted(ranges, key=lambda item: item.start):
        if each.name == ACCUMULATED and each.inputs is not None:
            if stepping:
                gradients, stepping = [], []
            kind, shape = each.inputs.kinds[0], each.inputs.dims[0]
            gradients.append(TensorArg(tuple(shape), torch_dtype(kind)))
        elif each.name.startswith(FUSED) and each.kind & Kind.OPTIMIZER:
            stepping.append(each)
            found[each] = tuple(gradients)
            if len(stepping) > 1:
                for shared in stepping:
                    found.pop(shared, None)
    return found


def lists_of_step(
    names: Sequence[str], inputs: Inputs, gradients: Tensors, parameters: int | None
) -> Mapping[str, Tensors]:
    """A fused optimizer's lists by name; none where the gradients are not those of its step.

    parameters: how many it has, None where that is not known. Gradients may have been accumulated
    several times.
    """
    if not gradients or (parameters and len(gradients) % parameters):
        return {}
    tensors = gradients[-parameters:] if parameters else gradients
    texts = dict(zip(names, inputs.texts, strict=False))
    lists: dict[str, Tensors] = {}
    for name, kind in zip(names, inputs.kinds, strict=False):
        if kind == "TensorList":
            used = texts.get(_IN_USE.get(name, ""), "True")
            lists[name] = tensors if used not in ("False", "0", "0.") else ()
            if name == _STEPS:
                lists[name] = (TensorArg(()),) * len(tensors)
    return lists
