"""Collectives as ``torch.distributed`` spells them: in place (c10d), and functional ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, same
from aimatrix.dialects.raw import TensorArg

_INPUTS = ("tensors", "tensor", "input", "inputs", "input_tensor", "input_tensors", "input_list")
_OUTPUTS = ("output", "outputs", "output_tensor", "output_tensors", "output_lists", "out")
#: kinds of which what comes out is as large as what goes in
_SAME_SIZE = ("all_reduce", "broadcast", "reduce", "all_to_all")
#: kinds of which it is larger or smaller by the number of processes
_RESIZING = ("all_gather", "reduce_scatter")


#: arguments that tell how many processes there are: a capture gives this number of a group
_GROUPS = ("group_size", "process_group", "group_name")


def _collective(kind: str) -> Rule:
    return Rule("collective", _translation(kind), _GROUPS)


def _translation(kind: str) -> Callable[[str, Arguments], Translation]:
    def rule(_: str, arguments: Arguments) -> Translation:
        inputs = list(_shapes(arguments, _INPUTS))
        outputs = list(_shapes(arguments, _OUTPUTS))
        size = next((arguments[name] for name in _GROUPS if _is_told(arguments, name)), None)
        if not outputs and kind in _SAME_SIZE:
            outputs = inputs
        elif not outputs and size is not None and kind in _RESIZING:
            outputs = [_resized(kind, shape, size) for shape in inputs]
        elif kind == "recv":
            inputs, outputs = [], inputs
        return kind, {
            "inputs": inputs,
            "outputs": outputs,
            "group_size": _group_size(kind, inputs, outputs) if size is None else size,
        }

    return rule


def _is_told(arguments: Arguments, name: str) -> bool:
    """Whether an argument tells a size: a recorded trace has the group's name in its place."""
    return isinstance(arguments.get(name), int)


def _shapes(arguments: Arguments, names: tuple[str, ...]) -> Iterator[Shape]:
    for name in names:
        yield from _flat(arguments.get(name))


def _flat(value: Any) -> Iterator[Shape]:
    if isinstance(value, TensorArg):
        yield value.shape
    elif isinstance(value, tuple):
        for item in value:
            yield from _flat(item)


def _resized(kind: str, shape: Shape, size: int) -> Shape:
    """Along the first axis, which the functional ones join and split."""
    first, *rest = shape or (1,)
    return (first * size if kind == "all_gather" else first // size, *rest)


def _group_size(kind: str, inputs: list[Shape], outputs: list[Shape]) -> int | None:
    """How many processes there are, where the sizes tell."""
    given, taken = (sum(prod(shape) for shape in shapes) for shapes in (inputs, outputs))
    if kind == "reduce_scatter":
        given, taken = taken, given
    elif kind != "all_gather":
        return None
    return taken // given if given and taken else None


def _no_work(_: str, arguments: Arguments) -> Translation:
    return "view", {"inputs": [next(_shapes(arguments, _INPUTS))]}


RULES: dict[str, Rule] = {
    **same(
        _collective("all_reduce"),
        "c10d::allreduce c10d::allreduce_coalesced _c10d_functional::all_reduce"
        " _c10d_functional::all_reduce_coalesced",
    ),
    **same(
        _collective("all_gather"),
        "c10d::allgather c10d::_allgather_base c10d::allgather_coalesced"
        " c10d::allgather_into_tensor_coalesced _c10d_functional::all_gather_into_tensor"
        " _c10d_functional::all_gather_into_tensor_out"
        " _c10d_functional::all_gather_into_tensor_coalesced",
    ),
    **same(
        _collective("reduce_scatter"),
        "c10d::reduce_scatter c10d::_reduce_scatter_base c10d::reduce_scatter_tensor_coalesced"
        " _c10d_functional::reduce_scatter_tensor _c10d_functional::reduce_scatter_tensor_out"
        " _c10d_functional::reduce_scatter_tensor_coalesced",
    ),
    **same(
        _collective("all_to_all"),
        "c10d::alltoall c10d::alltoall_base _c10d_functional::all_to_all_single",
    ),
    **same(_collective("broadcast"), "c10d::broadcast _c10d_functional::broadcast"),
    "c10d::reduce": _collective("reduce"),
    "c10d::gather": _collective("gather"),
    "c10d::scatter": _collective("scatter"),
    **same(_collective("send"), "c10d::send _c10d_functional::isend"),
    **same(_collective("recv"), "c10d::recv c10d::recv_any_source _c10d_functional::irecv"),
    **same(
        Rule("movement", _no_work),
        "c10d::barrier c10d::monitored_barrier c10d::check_for_nan _c10d_functional::wait_tensor"
        " _c10d_functional::_wrap_tensor_autograd",
    ),
}
