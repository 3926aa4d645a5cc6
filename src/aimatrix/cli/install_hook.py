"""`aimatrix install-hook`: see Python processes that ignore PYTHONPATH."""

from __future__ import annotations

import sys

import typer


def command(
    remove: bool = typer.Option(False, "--remove", help="Take the hook out again."),
    python: str = typer.Option(
        None, help="The Python to put it into; aimatrix's own if not given.", show_default=False
    ),
) -> None:
    """Have a Python start the agent under monitor also with -E or -I, or without PYTHONPATH.

    It writes one .pth file among that Python's packages, which does nothing outside of monitor.
    """
    from aimatrix import api

    python = python or sys.executable
    file = api.install_hook(python, remove=remove)
    if not remove:
        print(f"wrote {file}")
    else:
        print(f"removed {file}" if file else f"{python} has no hook")
