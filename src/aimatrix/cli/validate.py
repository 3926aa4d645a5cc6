"""`aimatrix validate`: hold a benchmark against the real applications."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from aimatrix.cli.options import Json, parse_duration, print_json, progress
from aimatrix.errors import AimatrixError


def command(
    folder: Path = typer.Argument(help="The benchmark's folder.", show_default=False),
    suite: Path = typer.Option(
        ..., help="File that lists the applications (docs/validation.md).", show_default=False
    ),
    platform: list[str] = typer.Option(
        [],
        help="BACKEND[:DTYPE[:THREADS[:DEVICE]]], once per platform; four of this machine if not"
        " given.",
        show_default=False,
    ),
    time_limit: str = typer.Option("8s", help="Time of measuring per platform."),
    output: Path = typer.Option(
        None, "-o", "--output", help="Write the validation here.", show_default=False
    ),
    as_json: bool = Json,
) -> None:
    """Measure the real applications and the benchmark interleaved; print the fidelity errors."""
    from aimatrix import api
    from aimatrix.cli.tables import print_validation

    with progress("starting") as bar:
        validation = api.validate(
            folder,
            suite,
            platform=platform,
            time_limit=parse_duration(time_limit, "--time-limit"),
            output=output,
            progress=lambda next_one: bar.update(
                bar.task_ids[0], description=f"measuring on {next_one.name}"
            ),
        )
    if as_json:
        print_json(json.loads(validation.model_dump_json()))
    else:
        print_validation(validation)
    if not any(fidelity.compared for fidelity in validation.platforms):
        raise AimatrixError("nothing was compared on any platform; what was left out says why")
