"""Suite files and the applications that they name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aimatrix.errors import InputError
from aimatrix.validation import Application, Suite, load_suite
from aimatrix.validation.suite import load_application

GOOD = """
[[applications]]
name = "one"
entry = "suite_apps:one"
weight = 2.5

[[applications]]
name = "two"
entry = "suite_apps:two"
"""

APPS = """
import math

def one():
    return math.sqrt, (4.0,)

def two():
    return math.sqrt

def three():
    return math.sqrt, 4.0

def four():
    raise RuntimeError("no weights")

five = 5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_names_entries_and_weights(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, GOOD))
    assert [(a.name, a.entry, a.weight) for a in suite.applications] == [
        ("one", "suite_apps:one", 2.5),
        ("two", "suite_apps:two", 1.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("2.5", "0"), r"suite.toml: application 'one': field weight: .*greater"),
        (GOOD.replace("2.5", "'much'"), r"application 'one': field weight"),
        (GOOD.replace('"suite_apps:two"', '"suite_apps"'), r"application 'two': field entry"),
        (GOOD.replace('name = "two"\n', ""), r"application 'number 2': field name"),
        (GOOD.replace('"two"', '"one"'), "2 applications have the name 'one'"),
        (GOOD.replace("weight", "wieght"), "application 'one': field wieght"),
        ("", "suite.toml: field applications"),
        ("applications = []", "suite.toml: field applications"),
        ("applications = 3", "suite.toml: field applications"),
        ("applications = [3]", "suite.toml: .*applications"),
        ("source = 'x'\n" + GOOD, "unknown field source"),
        ("[[applications", "suite.toml: is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_suite(write(tmp_path, text))


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        load_suite(tmp_path / "none.toml")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setattr("sys.path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "suite_apps", raising=False)
    (tmp_path / "suite_apps.py").write_text(APPS, encoding="utf-8")
    return load_suite(write(tmp_path, GOOD))


def test_modules_are_found_beside_the_suite_file(suite: Suite) -> None:
    function, inputs = load_application(suite, suite.applications[0])
    assert function(*inputs) == 2.0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("no_such_module:one", "module 'no_such_module' cannot be imported"),
        ("suite_apps:none", "has no function 'none'"),
        ("suite_apps:five", "has no function 'five'"),
        ("suite_apps:two", "returned builtin_function_or_method; it has to return a callable"),
        ("suite_apps:three", r"returned \(builtin_function_or_method, float\)"),
        ("suite_apps:four", "raised RuntimeError: no weights"),
    ],
)
def test_an_entry_that_makes_no_application(suite: Suite, entry: str, message: str) -> None:
    with pytest.raises(InputError, match=f"suite.toml: application 'x': field entry: .*{message}"):
        load_application(suite, Application(name="x", entry=entry))
