"""Puts the verbs together, one thin file each over the function of that name in `aimatrix.api`."""

from __future__ import annotations

import sys

import typer

from aimatrix.cli import (
    analyze,
    collect,
    compare,
    demo,
    doctor,
    import_,
    install_hook,
    monitor,
    report,
    run,
    store,
    synthesize,
    validate,
)
from aimatrix.errors import AimatrixError
from aimatrix.version import VERSION

app = typer.Typer(
    help="Watch real DNN applications and make one small benchmark that does the same work.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 wrong use or bad input.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for verb in (
    monitor,
    collect,
    import_,
    analyze,
    synthesize,
    run,
    validate,
    compare,
    report,
    demo,
    doctor,
    install_hook,
):
    name = verb.__name__.rpartition(".")[2].strip("_").replace("_", "-")
    app.command(name, context_settings=getattr(verb, "CONTEXT", None))(verb.command)
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aimatrix {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Watch real DNN applications and make one small benchmark that does the same work."""


def main() -> None:
    """The console script: an error of ours is one sentence and its exit code, not a traceback."""
    try:
        app()
    except AimatrixError as error:
        print(f"aimatrix: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
