"""What an operator is and what it costs: one file per family, no framework, no input or output.

To add a family: write its file with a `Family` subclass; it is found (`registry.py`). The whole way
is in docs/adding-an-operator.md.
"""

from collections.abc import Sequence

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.family import Family
from aimatrix.ops.operand import Operand
from aimatrix.ops.registry import Registry, found_in

_FAMILIES = Registry(*found_in(__name__, __path__))


def families() -> tuple[str, ...]:
    """The names of all families."""
    return _FAMILIES.names()


def family(name: str) -> Family:
    """The family of that name. Raises InputError for one that is not registered."""
    return _FAMILIES[name]


def family_of(call: OpCall) -> Family:
    """The family a call belongs to. Raises InputError for one that is not registered."""
    return family(call.family)


def cost(call: OpCall) -> Cost:
    """What ``call`` costs. Raises InputError when its attributes make no operator."""
    return family_of(call).cost(call)


def output_shape(call: OpCall) -> tuple[int, ...] | None:
    """The shape of the output of ``call``, batch first; None where it is not known."""
    return family_of(call).output_shape(call)


def operands(call: OpCall) -> tuple[Operand, ...] | None:
    """What ``call`` reads, in the order in which backends take it; None: none lays it out."""
    return family_of(call).operands(call)


def is_view(call: OpCall) -> bool:
    """Whether ``call`` computes and moves nothing: a view, a question, memory not yet written."""
    return call.family == "movement" and call.kind == "view"


def alone(call: OpCall) -> tuple[None, ...]:
    """The sources of a call that takes nothing from another: None for each of its operands."""
    return (None,) * len(operands(call) or (None,))


def widths(call: OpCall) -> tuple[int, ...]:
    """The sizes of ``call`` that a search may change."""
    return family_of(call).widths(call)


def with_widths(call: OpCall, widths: Sequence[int]) -> OpCall:
    """``call`` with other `widths`."""
    return family_of(call).with_widths(call, widths)


def input_size(call: OpCall) -> float | None:
    """The size by which a call is grouped, in elements along one side of its input; or None."""
    return family_of(call).input_size(call)
