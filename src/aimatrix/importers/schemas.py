"""Schemas of operators: read from torch's text of one, from a file, or from the torch installed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from aimatrix.errors import InputError


@dataclass(frozen=True, slots=True)
class Schema:
    """One overload of an operator: its arguments' names and types, as torch spells them."""

    overload: str
    names: tuple[str, ...]
    types: tuple[str, ...]


#: operator name (``aten::add``) -> its overloads; none for an operator that is not known
SchemaLookup = Callable[[str], Sequence[Schema]]


def stored_schemas(path: Path) -> SchemaLookup:
    """The lookup of a file that the agent wrote beside a trace. Raises InputError for another."""
    try:
        stored = {
            name: [Schema(overload, *_columns(arguments)) for overload, arguments in overloads]
            for name, overloads in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: holds no schemas of operators") from error
    return lambda name: stored.get(name, ())


@lru_cache(maxsize=4096)
def installed_schemas(name: str) -> Sequence[Schema]:
    """The overloads that the torch installed here knows for an operator; needs torch."""
    import torch

    return [
        Schema(schema.overload_name, *_columns([(a.name, str(a.type)) for a in schema.arguments]))
        for schema in torch._C._jit_get_schemas_for_operator(name)
    ]


def _columns(arguments: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(str(name) for name, _ in arguments), tuple(str(kind) for _, kind in arguments)


#: characters of the longest text that is taken for a schema; torch's have some hundreds
_LONGEST = 1 << 14
_HEAD = re.compile(r"\w+::\w+(?:\.(?P<overload>\w+))?\(")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


@lru_cache(maxsize=1024)
def parse_schema(text: str) -> Schema | None:
    """A schema as torch writes it: ``aten::add.Tensor(Tensor self, Tensor other, ...) -> Tensor``.

    None for text that is none.
    """
    head = _HEAD.match(text) if len(text) <= _LONGEST else None
    if head is None:
        return None
    arguments = _QUOTED.sub("", text[head.end() :])  # defaults may hold brackets and commas
    names, types = [], []
    for argument in _split(arguments):
        declared, _, name = argument.partition("=")[0].strip().rpartition(" ")
        if declared:  # a bare "*" parts the keywords from the rest
            names.append(name)
            types.append(declared.strip())
    return Schema(head["overload"] or "", tuple(names), tuple(types))


def _split(text: str) -> Iterator[str]:
    """What commas part outside of brackets, up to the bracket that closes the whole."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        if depth == 0 and character in ",)":
            yield text[start:place]
            start = place + 1
            if character == ")":
                return
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
