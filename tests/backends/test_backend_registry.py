"""Backends of other packages, found through their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from aimatrix import backends
from aimatrix.backends.null import Null
from aimatrix.errors import InputError


class Abacus(Null):
    name = "abacus"


def install(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    points = [EntryPoint(name, value, backends.ENTRY_POINTS) for name, value in entries]
    monkeypatch.setattr(backends, "entry_points", lambda group: points)


def test_a_backend_of_another_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("abacus", f"{__name__}:Abacus"))
    assert backends.get("abacus").name == "abacus"
    assert backends.names()[-1] == "abacus"


def test_two_packages_cannot_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("abacus", "one:Abacus"), ("abacus", "two:Abacus"))
    with pytest.raises(InputError, match="one:Abacus and two:Abacus"):
        backends.get("abacus")


def test_a_built_in_name_cannot_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("null", f"{__name__}:Abacus"))
    with pytest.raises(InputError, match="built-in"):
        backends.get("null")


def test_what_is_no_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("abacus", "builtins:dict"))
    with pytest.raises(InputError, match="dict"):
        backends.get("abacus")
