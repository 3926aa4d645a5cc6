"""Turns a torch operator call into a key (each time) and a description (once per key)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch

from . import objects
from .capture import Description

# How an argument enters the key. Everything else an operator takes (numbers, generators) is left
# out: floats and indices would make a key of every call. The last is of no argument, but of an
# operator that packs weights.
_TENSOR, _TENSORS, _KEPT, _DEVICE, _OBJECT, _NEW_OBJECTS = range(6)

_LONGEST_TEXT = 64
_Tensor = torch.Tensor

#: what torch makes of a number in a tensor's place
_NUMBER_DTYPES = {
    bool: torch.bool,
    int: torch.int64,
    float: torch.float64,
    complex: torch.complex128,
}


class Plan:
    """What of one operator's arguments determines its work, read from its schema once.

    positional: (index, how) of those arguments; keyword: how, by name. ``operator`` is held so
    that its id, by which plans are found, stays its own. written: places and names of the arguments
    that the operator writes into; outputs: those of them that it does not read (``out=``).
    hands_on: it returns its input, or, where that lies unsuitably (``reshape``), a copy of it.
    """

    __slots__ = (
        "arguments",
        "hands_on",
        "ident",
        "keyword",
        "name",
        "operator",
        "outputs",
        "overload",
        "positional",
        "written",
    )

    def __init__(self, operator: Any, attributes: Mapping[str, Sequence[str]]) -> None:
        self.operator = operator
        self.ident = id(operator)
        self.hands_on = False
        self.written: set[int | str] = set()
        self.outputs: set[str] = set()
        schema = getattr(operator, "_schema", None)
        if schema is None:  # a higher-order operator, whose arguments have no names
            self.name, self.overload = f"higher_order::{operator}", ""
            self.arguments: list[tuple[str, int, Any]] = []
            self.keyword: dict[str, int] = {}
            self.positional: tuple[tuple[int, int], ...] = ()
            return
        self.name, self.overload = schema.name, schema.overload_name
        aliases = [value.alias_info for value in schema.returns]
        self.hands_on = self.name != "aten::contiguous" and any(
            alias is not None and not alias.is_write for alias in aliases
        )
        kept = attributes.get(self.name, ())
        self.arguments = []
        positional = []
        for index, argument in enumerate(schema.arguments):
            how = _how(str(argument.type), argument.name, argument.name in kept)
            if how is not None:
                default = argument.default_value if argument.has_default_value() else None
                self.arguments.append((argument.name, how, default))
                positional.append((index, how))
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.written |= {index, argument.name}
                self.outputs |= {argument.name} if argument.is_out else set()
        if objects.brings_new(self.name):
            positional.insert(0, (0, _NEW_OBJECTS))
        self.keyword = {name: how for name, how, _ in self.arguments}
        self.positional = tuple(positional)


def key(plan: Plan, phase: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable:
    """All that determines the call's work, hashable; calls of equal keys are described alike."""
    parts: list[Any] = [plan.ident, phase]
    count = len(args)
    for index, how in plan.positional:
        if index >= count:
            break
        value = args[index]
        if how == _TENSOR and isinstance(value, _Tensor):  # by far the most frequent
            parts.append(value.shape)
            parts.append(value.dtype)
            parts.append(value.device)
        else:
            parts.append(_part(how, value))
    if kwargs:
        for name, value in kwargs.items():
            if name in plan.keyword:
                parts.append((name, _part(plan.keyword[name], value)))
    return tuple(parts)


def describe(
    plan: Plan, phase: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Description | None:
    """The call as the spool has it; None for what is no work.

    That is a call on tensors without data (``meta``), and a mark that a profiler sets.
    """
    if plan.name.startswith("profiler::"):
        return None
    given = {argument.name: value for argument, value in _pair(plan.operator, args)}
    given.update(kwargs)
    arguments: dict[str, Any] = {}
    for name, how, default in plan.arguments:
        value = given.get(name, default)
        if _on_meta(how, value):
            return None
        if how == _DEVICE:
            continue
        spelled = _SPELL.get(how, _spell)(value)
        if spelled is not _LEFT_OUT:
            arguments[name] = spelled
    return _description(plan, phase, arguments)


def describe_by_name(plan: Plan, phase: str) -> Description:
    """A call of which only the operator is known: its tensors do not tell their shapes."""
    return _description(plan, phase, {})


def numbers_as_tensors(operator: Any, args: Sequence[Any]) -> list[Any] | None:
    """``args`` with tensors in place of the numbers that stand for them; None if none does.

    A constant of TorchScript reaches a dispatch mode as a number, which not every operator takes.
    """
    changed = False
    tensors = list(args)
    for index, (argument, value) in enumerate(_pair(operator, args)):
        dtype = _NUMBER_DTYPES.get(type(value))
        if dtype is not None and str(argument.type) == "Tensor":
            tensors[index] = torch.scalar_tensor(value, dtype=dtype)
            changed = True
    return tensors if changed else None


def _description(plan: Plan, phase: str, arguments: dict[str, Any]) -> Description:
    return {
        "name": plan.name,
        "overload": plan.overload,
        "phase": phase,
        "arguments": arguments,
    }


def _how(schema_type: str, name: str, kept: bool) -> int | None:
    if objects.is_object(schema_type) or name == "group_name":
        return _OBJECT if kept else None
    if "Tensor" in schema_type:
        return _TENSORS if "List[" in schema_type else _TENSOR
    if "Device" in schema_type:
        return _DEVICE
    return _KEPT if kept else None


def _part(how: int, value: Any) -> Hashable:
    if how == _TENSOR:
        if isinstance(value, _Tensor):
            return value.shape, value.dtype, value.device
        return value is None  # a number in a tensor's place, or nothing: its value is no matter
    if how == _TENSORS:
        return None if value is None else tuple([_part(_inside(item), item) for item in value])
    if how == _KEPT:
        return _hashable(_spell_kept(value))
    if how == _OBJECT:
        return objects.mark(value)
    if how == _NEW_OBJECTS:
        objects.forget_all()
        return None
    return str(value)


def _inside(item: Any) -> int:
    """How an item of a list of tensors enters the key: it may be such a list itself."""
    return _TENSORS if isinstance(item, list) else _TENSOR


def _hashable(value: Any) -> Hashable:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


def _pair(operator: Any, args: Sequence[Any]) -> Any:
    schema = getattr(operator, "_schema", None)
    # no strict=True: the rest of the schema's arguments are keywords or have defaults
    return () if schema is None else zip(schema.arguments, args)  # noqa: B905


def _on_meta(how: int, value: Any) -> bool:
    if how == _DEVICE:
        return value is not None and str(value) == "meta"
    if isinstance(value, (list, tuple)):
        return any(_on_meta(how, item) for item in value)
    return isinstance(value, _Tensor) and value.is_meta


_LEFT_OUT = object()


def _spell_kept(value: Any) -> Any:
    """As `_spell`, of an argument that a dialect asks for: a factor of a size may be a fraction."""
    if isinstance(value, float):
        return value if isfinite(value) else _LEFT_OUT
    if isinstance(value, (list, tuple)):
        spelled = [_spell_kept(item) for item in value]
        return _LEFT_OUT if any(item is _LEFT_OUT for item in spelled) else spelled
    return _spell(value)


def _spell(value: Any) -> Any:
    """``value`` in JSON, or _LEFT_OUT: nothing but shapes, small numbers and words leaves."""
    if isinstance(value, _Tensor):
        return objects.spell_tensor(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else _LEFT_OUT
    if isinstance(value, (list, tuple)):
        spelled = [_spell(item) for item in value]
        return _LEFT_OUT if any(item is _LEFT_OUT for item in spelled) else spelled
    return _LEFT_OUT


#: how an argument is spelled, where not as `_spell` does it
_SPELL = {_KEPT: _spell_kept, _OBJECT: objects.spelled}
