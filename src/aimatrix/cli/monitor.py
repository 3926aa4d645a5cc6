"""`aimatrix monitor`: run a command unchanged and log its operators."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import typer

from aimatrix.cli.options import Store, parse_duration, parse_share

#: everything from the command on belongs to the command
CONTEXT = {"allow_interspersed_args": False, "ignore_unknown_options": True}


def command(
    command: list[str] = typer.Argument(
        metavar="COMMAND...", help="The command and its arguments, after --.", show_default=False
    ),
    store: Path = Store,
    app: str = typer.Option(
        None, help="Name in the log; by default the script's or module's.", show_default=False
    ),
    window: str = typer.Option("60s", help="Length of a time window in the log."),
    budget: str = typer.Option(
        "5%",
        help="Share of its time that counting may take; beyond, calls are sampled and their counts"
        " marked as estimates. none: always count exactly.",
    ),
    time: bool = typer.Option(False, "--time", help="Also log how long operators take."),
    warps: bool = typer.Option(
        False,
        "--warps",
        help="Also measure the warps that operators launch on CUDA GPUs: torch's profiler records"
        " a call of a model a few times an hour.",
    ),
) -> None:
    """Run COMMAND unchanged and log the operators that it executes.

    Its input, output, signals and exit code are its own; if our side fails, one line on standard
    error says so and the command runs on.
    """
    from aimatrix import api
    from aimatrix.monitoring import end_like

    code = api.monitor(
        command,
        store=store,
        app=app,
        window=parse_duration(window, "--window"),
        budget=parse_share(budget, "--budget"),
        time=time,
        warps=warps,
    )
    if code < 0:
        # it cannot speak for itself any more, unlike one that ends with an exit code
        names = {item.value: item.name for item in signal.Signals}
        name = names.get(-code, f"signal {-code}")
        notice = f"{command[0]} was ended by {name}; what was counted until then is in {store}"
        print(f"aimatrix: {notice}", file=sys.stderr)
    end_like(code)
