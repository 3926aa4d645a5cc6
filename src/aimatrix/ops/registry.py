"""Holds the operator families by name and refuses a duplicate."""

from __future__ import annotations

from aimatrix.errors import InputError
from aimatrix.ops.family import Family


class Registry:
    """Families by name, in the order in which they were given."""

    def __init__(self, *families: Family) -> None:
        self._families: dict[str, Family] = {}
        for family in families:
            if family.name in self._families:
                raise ValueError(f"the operator family {family.name!r} is registered twice")
            self._families[family.name] = family

    def __getitem__(self, name: str) -> Family:
        if name not in self._families:
            known = ", ".join(self._families)
            raise InputError(f"unknown operator family {name!r}; known are {known}")
        return self._families[name]

    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self._families)
