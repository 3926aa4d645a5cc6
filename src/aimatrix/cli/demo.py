"""`aimatrix demo`: the whole way on AlexNet, VGG16 and GoogLeNet."""

from __future__ import annotations

from pathlib import Path

import typer

from aimatrix.cli.options import Json, print_json, progress


def command(
    output: Path = typer.Option(Path("aimatrix-demo"), "-o", "--output", help="Work folder."),
    inferences: int = typer.Option(1, min=1, help="How often each program runs its model."),
    as_json: bool = Json,
) -> None:
    """Monitor three classic networks, make their benchmark, run, validate and report it."""
    from aimatrix import api
    from aimatrix.cli.tables import print_benchmark, print_profile, print_validation

    with progress("starting") as bar:
        made = api.demo(
            output,
            inferences=inferences,
            on_step=lambda step: bar.update(bar.task_ids[0], description=step),
        )
    if as_json:
        print_json(made.summary())
        return
    print_profile(made.profile)
    print()
    print_benchmark(made.benchmark, made.synthesis_seconds)
    print()
    print_validation(made.validation)
    print(f"the report is at {made.report.resolve()}")
