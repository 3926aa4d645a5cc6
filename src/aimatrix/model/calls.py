"""Operator calls: what one outermost operator of an application works on, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from aimatrix.errors import InputError

PHASES = ("forward", "backward", "optimizer")

#: What an attribute may be: numbers, flags, short words, shapes, lists of shapes.
Attribute = int | bool | str | tuple[int, ...] | tuple[tuple[int, ...], ...] | None


@dataclass(frozen=True, slots=True)
class OpCall:
    """The signature of an operator call: everything that determines its work, and nothing else.

    ``family`` is one of `aimatrix.ops.families()`, ``kind`` the operator inside it (``conv2d``).
    ``attributes`` are the family's own, sorted by name; shapes are in elements, batch first.
    """

    family: str
    kind: str
    attributes: tuple[tuple[str, Attribute], ...] = ()
    dtype: str = "float32"
    phase: str = "forward"
    device: str = "cpu"

    @classmethod
    def create(
        cls,
        family: str,
        kind: str,
        attributes: Mapping[str, Any],
        *,
        dtype: str = "float32",
        phase: str = "forward",
        device: str = "cpu",
    ) -> Self:
        """Make a call from a plain mapping; lists become tuples, names are sorted."""
        frozen = tuple((name, _freeze(attributes[name])) for name in sorted(attributes))
        return cls(family, kind, frozen, dtype, phase, device)

    def __getitem__(self, name: str) -> Any:
        """The attribute ``name``; KeyError when the call has none of that name."""
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    def replace(self, **changes: Any) -> Self:
        """The same call with some attributes changed."""
        return type(self).create(
            self.family,
            self.kind,
            {**dict(self.attributes), **changes},
            dtype=self.dtype,
            phase=self.phase,
            device=self.device,
        )

    def with_dtype(self, dtype: str) -> Self:
        """The same call on another dtype."""
        return replace(self, dtype=dtype)

    @property
    def anywhere(self) -> Self:
        """The same call, on whatever device."""
        return self if self.device == "cpu" else replace(self, device="cpu")

    @property
    def spelling(self) -> tuple[str, str, str, str, str]:
        """The call on whatever device, in words: to sort calls by, and to know equal ones by."""
        return (self.family, self.kind, self.attributes_json(), self.dtype, self.phase)

    def attributes_json(self) -> str:
        """The attributes in one canonical spelling: equal calls give equal text."""
        return json.dumps(dict(self.attributes), separators=(",", ":"), sort_keys=True)


def attributes_from_json(text: str) -> dict[str, Any]:
    """Read what `OpCall.attributes_json` wrote. Raises InputError on anything else."""
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"operator attributes are not JSON: {text[:60]!r}") from error
    if not isinstance(attributes, dict):
        raise InputError(f"operator attributes are not a JSON object: {text[:60]!r}")
    return attributes


def _freeze(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item) for item in value)
    return value


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs. ``macs`` and ``warps`` are None where they are not known.

    macs: multiply-adds, each counted once, bias not counted. bytes_read, bytes_written: the
    operator's inputs (weights too) and outputs, each once. parameters: elements of weights and
    bias. warps: groups of 32 threads, *derived* from `aimatrix.ops.launch`.
    """

    macs: int | None
    bytes_read: int
    bytes_written: int
    parameters: int = 0
    warps: int | None = None

    @property
    def bytes(self) -> int:
        """Traffic: bytes read and written."""
        return self.bytes_read + self.bytes_written
