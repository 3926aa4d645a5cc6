"""Finds the operator families, holds them by name and refuses a duplicate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules

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


def found_in(package: str, path: Iterable[str]) -> Iterator[Family]:
    """One of each family that the modules of a package define, by module name, then as defined.

    A class without a name of its own is no family, but what families are made from.
    """
    for module in sorted(found.name for found in iter_modules(path)):
        for defined in vars(import_module(f"{package}.{module}")).values():
            if (
                isinstance(defined, type)
                and issubclass(defined, Family)
                and defined.__module__ == f"{package}.{module}"
                and "name" in vars(defined)
                and not isabstract(defined)
            ):
                yield defined()
