"""The suite file: the real applications that a benchmark is held against (`docs/validation.md`)."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, ValidationError

from aimatrix.errors import InputError
from aimatrix.model.artefact import Part, first_mistake


class Application(Part):
    """One application: ``entry`` is ``module:function``; weight: how often the mix runs it.

    kind: what it is one of (``class`` in the file), such as cnn or transformer; errors are told for
    each of them.
    """

    name: str = Field(min_length=1)
    entry: str = Field(pattern=r"^[\w.]+:\w+$")
    weight: PositiveFloat = 1.0
    kind: str = Field("", alias="class", pattern=r"^[\w -]*$")


class Suite(Part):
    """The applications of a suite; ``source`` is the file that they were read from."""

    source: str = "the suite"
    applications: tuple[Application, ...] = Field(min_length=1)

    def field(self, application: Application, name: str) -> str:
        """Where a user finds the field ``name`` of an application, to begin an error with."""
        return f"{self.source}: application {application.name!r}: field {name}"


def load_suite(path: Path) -> Suite:
    """Read a suite file. Raises InputError naming the file, the application and the field."""
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    if "source" in document:
        raise InputError(f"{path}: unknown field source; remove it")
    try:
        suite = Suite.model_validate({**document, "source": str(path)})
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error, document)}") from error
    counts = Counter(application.name for application in suite.applications)
    for name, count in counts.items():
        if count > 1:
            raise InputError(
                f"{path}: {count} applications have the name {name!r}; give each its own"
            )
    return suite


def load_application(
    suite: Suite, application: Application
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Import an application and make it: (callable, its inputs).

    Modules are looked for on ``sys.path``, in the suite file's folder and in the current one.
    Runs the user's code, so it is called in a validation worker alone. Raises InputError.
    """
    field = suite.field(application, "entry")
    module_name, _, function_name = application.entry.partition(":")
    for folder in (str(Path(suite.source).resolve().parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever a user's module raises as it is imported
        raise InputError(
            f"{field}: the module {module_name!r} cannot be imported"
            f" ({type(error).__name__}: {error}); it has to be on PYTHONPATH, in the suite file's"
            " folder or in the current one"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"{field}: the module {module_name!r} has no function {function_name!r}")
    try:
        made = function()
    except Exception as error:  # whatever a user's function raises
        raise InputError(
            f"{field}: {application.entry} raised {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[0])) or not isinstance(
        made[1], tuple | list
    ):
        raise InputError(
            f"{field}: {application.entry} returned {_describe(made)}; it has to return a callable"
            " and the tuple of its inputs"
        )
    return made[0], tuple(made[1])


def _describe(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(item).__name__ for item in value)})"
    return type(value).__name__


def _explain(error: ValidationError, document: dict[str, Any]) -> str:
    mend = "mend it as docs/validation.md shows"
    location = error.errors()[0]["loc"]
    if len(location) > 2 and isinstance(location[1], int):
        name = document["applications"][location[1]].get("name", f"number {location[1] + 1}")
        return f"application {name!r}: {first_mistake(error, inside=2)}; {mend}"
    return f"{first_mistake(error)}; {mend}"
