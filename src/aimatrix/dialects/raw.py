"""An operator call as its framework spells it, before translation; and its spelling in JSON.

The captured process writes these (`docs/file-formats.md`, "Spool"); nothing of the application's
data is in them: shapes, dtypes, devices, and the attributes that a dialect asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from aimatrix.errors import InputError

#: calls that no part makes; sums of fewer are whole numbers in every reader of a log
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class TensorArg:
    """A tensor that an operator took: its shape in elements, dtype and device type."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class RawCall:
    """An operator's name (``aten::convolution``), overload, arguments by schema name, and phase.

    Arguments are TensorArg, int, float, bool, str, None, or tuples of these; others are left out.
    dialect: whose spelling it is, a key of `aimatrix.dialects.DIALECTS`. parts: the calls that it
    stands for, with how often it makes each; they count in its place. pairs: which of them produces
    what which other one consumes (places in ``parts``), and how often.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    overload: str = ""
    phase: str = "forward"
    dialect: str = "aten"
    parts: tuple[tuple[RawCall, int], ...] = ()
    pairs: tuple[tuple[int, int, int], ...] = ()


def from_json(text: str) -> RawCall:
    """Read one call. Raises InputError unless it is a well-formed one."""
    try:
        document = json.loads(text)
        parts = [(_call(part), _times(part["times"])) for part in document.get("parts", [])]
        return replace(_call(document), parts=tuple(parts))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"not an operator call: {text[:80]!r}") from error


def _call(document: dict[str, Any]) -> RawCall:
    return RawCall(
        name=_text(document["name"]),
        overload=_text(document.get("overload", "")),
        phase=_text(document.get("phase", "forward")),
        dialect=_text(document.get("dialect", "aten")),
        arguments={_text(key): _value(item) for key, item in document["arguments"].items()},
    )


def _value(item: Any) -> Any:
    if isinstance(item, dict):
        return TensorArg(
            shape=tuple(_size(size) for size in item["shape"]),
            dtype=_text(item["dtype"]),
            device=_text(item["device"]),
        )
    if isinstance(item, list):
        return tuple(_value(part) for part in item)
    if item is None or isinstance(item, (bool, int, str)):
        return item
    if isinstance(item, float) and isfinite(item):
        return item
    raise TypeError(f"unexpected argument {item!r}")


def _size(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a shape holds {value!r}")
    return value


def _times(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value < _MOST:
        raise ValueError(f"a part is called {value!r} times")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value
