"""`aimatrix doctor`: which capture a monitor would use, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from aimatrix.cli.options import Json, print_json
from aimatrix.reporting.formats import visible

if TYPE_CHECKING:
    from aimatrix.api import Checkup

#: everything after -- belongs to the command
CONTEXT = {"allow_interspersed_args": False}


def command(
    command: list[str] = typer.Argument(
        None,
        metavar="[COMMAND]...",
        help="The command that is to be monitored, after --; by default aimatrix's own Python.",
        show_default=False,
    ),
    build: bool = typer.Option(False, "--build", help="Build the native capture now, or again."),
    as_json: bool = Json,
) -> None:
    """Say which capture monitor would use for COMMAND, and why; exit code 1 if not the native one.

    The native capture is a small C++ library, built once for each torch.
    """
    from aimatrix import api

    found = api.doctor(command or (), build=build)
    if as_json:
        print_json(found.summary())
    else:
        for name, words in _lines(found):
            print(f"{name:<12} {visible(words)}")
    if not found.healthy:
        raise typer.Exit(1)


def _lines(found: Checkup) -> list[tuple[str, str]]:
    native, library = found.native, found.native.library
    torch = native.interpreter.torch
    safety = native.cache_problem or "no one else can write to it"
    hook = f"{found.hook}" if found.hook else "none: python -E and -I are not seen"
    lines = [
        ("interpreter", f"{native.interpreter.path} (Python {native.interpreter.python})"),
        ("torch", f"{torch.version} in {torch.folder}" if torch else "none"),
        ("compiler", native.compiler or "none"),
        ("cache", f"{native.cache or 'none'} ({safety})"),
        ("library", native.state.value + (f": {native.reason}" if native.reason else "")),
        ("key", native.key or "none"),
    ]
    if library:
        lines += [
            ("built", f"{library.notes.built} with {library.notes.flags}"),
            ("cost", f"{library.notes.event_ns:.0f} ns an event"),
        ]
    return [*lines, ("capture", native.capture), ("hook", hook)]
