"""`aimatrix collect`: log what killed runs have left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aimatrix.cli.options import Json, Store, print_json
from aimatrix.reporting.formats import visible

if TYPE_CHECKING:
    from aimatrix.api import Leftover


def command(
    store: Path = Store,
    any_host: bool = typer.Option(
        False, "--any-host", help="Also what runs of other hosts left; only when these are gone."
    ),
    as_json: bool = Json,
) -> None:
    """Log what runs have counted that were killed, or could not write to the log themselves.

    Runs that go on are passed over. Exit code 1 when something stays behind.
    """
    from aimatrix import api

    found = api.collect(store, any_host=any_host)
    if as_json:
        print_json({"runs": [_row(left) for left in found]})
    elif not found:
        print("nothing was left behind")
    else:
        for left in found:
            print(visible(_line(left)))
    if any(left.reason for left in found):
        raise typer.Exit(1)


def _row(left: Leftover) -> dict[str, object]:
    return {
        "spool": str(left.spool),
        "app": left.run and left.run.app,
        "host": left.run and left.run.host,
        "calls": left.calls,
        "stays": left.stays,
        "reason": left.reason or None,
    }


def _line(left: Leftover) -> str:
    if left.run is not None and left.calls:
        came = f"{left.calls:,} calls of {left.run.app!r} on {left.run.host} are in the log"
        return f"{came}; {_stays(left)}" if left.reason else came
    return _stays(left)


def _stays(left: Leftover) -> str:
    calls = "calls that cannot be read" if left.stays is None else f"{left.stays:,} calls"
    return f"{left.spool}: {calls} stay there: {left.reason}"
