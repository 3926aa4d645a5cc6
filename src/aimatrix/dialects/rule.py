"""What a rule is, in every dialect, and how a call becomes canonical by one: it never fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aimatrix import ops
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall

Arguments = Mapping[str, Any]
Shape = tuple[int, ...]
#: what a translation gives: the kind inside the family, and the family's attributes
Translation = tuple[str, dict[str, Any]]

#: arguments that hold what came out, not what an operator took
_GIVEN = ("out", "outputs")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one operator is translated.

    reads: the arguments besides tensors that a capture has to keep for it. dtype_of: the tensor
    whose dtype is the call's, by the name of its argument (of a list, the first), or by its place
    in the argument ``inputs``; the first tensor of all unless given.
    """

    family: str
    translate: Callable[[str, Arguments], Translation]
    reads: tuple[str, ...] = ()
    dtype_of: str | int | None = None


def same(rule: Rule, names: str) -> dict[str, Rule]:
    """One rule under each of ``names``, which are separated by spaces."""
    return dict.fromkeys(names.split(), rule)


def by_shapes(family: str, operators: str, reads: str = "") -> dict[str, Rule]:
    """Rules for operators that their family knows by the shapes of the tensors they take.

    operators: separated by spaces, each a name (``cholesky``), or a name and what the family calls
    it (``linalg_inv=inverse``), or that and the tensors in the order of the family
    (``cholesky_solve=cholesky_solve(input2,self)``). reads: arguments that are handed on to the
    family as options, separated by spaces.
    """
    rules = {}
    for spelling in operators.split():
        name, _, told = spelling.partition("=")
        kind, _, order = (told or name).partition("(")
        names = tuple(order.rstrip(")").split(",")) if order else ()
        translation = _by_shapes(family, kind, names, tuple(reads.split()))
        rules[name] = Rule(family, translation, tuple(reads.split()))
    return rules


def _by_shapes(
    family: str, kind: str, names: tuple[str, ...], reads: tuple[str, ...]
) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        taken = {name: arguments[name] for name in names} if names else arguments
        shapes = [tensor.shape for tensor in tensors(taken)]
        options = {name: arguments[name] for name in reads if name in arguments}
        return ops.family(family).from_shapes(kind, shapes, options)

    return translation


def tensors(arguments: Arguments) -> Iterator[TensorArg]:
    """All tensors that an operator took, those of lists too, in the order of its schema."""
    for name, value in arguments.items():
        if name not in _GIVEN:
            yield from _inside(value)


def _inside(value: Any) -> Iterator[TensorArg]:
    if isinstance(value, TensorArg):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _inside(item)


def canonical(raw: RawCall, name: str, rule: Rule | None) -> OpCall:
    """The call that ``rule`` makes of ``raw``, called ``name`` there.

    Without a rule, or where it can make no sense of the arguments, an `unknown` call that keeps
    the framework's own name.
    """
    signature = _signature(raw, rule)
    if rule is not None:
        try:
            kind, attributes = rule.translate(name, raw.arguments)
            call = OpCall.create(rule.family, kind, attributes, **signature)
            ops.cost(call)  # a call that has no cost is no call that we understand
            return call
        except NO_SENSE:
            pass  # an odd spelling of a known operator: counted, under its own name
    return _unknown(raw, signature)


#: what a rule raises over arguments that it cannot make sense of
NO_SENSE = (
    InputError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    ArithmeticError,
    StopIteration,
)


def _signature(raw: RawCall, rule: Rule | None) -> dict[str, str]:
    first = next(tensors(raw.arguments), None) or _named(raw.arguments, "outputs")
    if rule is not None and rule.dtype_of is not None:
        first = _named(raw.arguments, rule.dtype_of) or first
    return {
        "dtype": first.dtype if first else "float32",
        "phase": raw.phase,
        "device": first.device if first else "cpu",
    }


def _named(arguments: Arguments, of: str | int) -> TensorArg | None:
    """The tensor that ``Rule.dtype_of`` tells; None where it is left out."""
    named = arguments.get("inputs") if isinstance(of, int) else arguments.get(of)
    if isinstance(named, tuple):
        place = of if isinstance(of, int) else 0
        named = named[place] if place < len(named) else None
    return named if isinstance(named, TensorArg) else None


def _unknown(raw: RawCall, signature: dict[str, str]) -> OpCall:
    inputs = [tensor.shape for tensor in tensors(raw.arguments)]
    call = OpCall.create("unknown", raw.name, {"inputs": inputs}, **signature)
    try:
        ops.cost(call)
    except InputError:  # a dtype that we do not know: its bytes cannot be told
        call = OpCall.create("unknown", raw.name, {"inputs": []}, **{**signature, "dtype": "none"})
    return call
