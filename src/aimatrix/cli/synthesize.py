"""`aimatrix synthesize`: make a benchmark from a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aimatrix.cli.options import Json, print_json, progress

if TYPE_CHECKING:
    from aimatrix.api import Synthesized
    from aimatrix.model.benchmark import Stage


def command(
    profile: Path = typer.Argument(help="The profile that analyze wrote.", show_default=False),
    output: Path = typer.Option(
        ..., "-o", "--output", help="Folder of the benchmark.", show_default=False
    ),
    search: str = typer.Option(
        "default", help="default, or poster for the genetic algorithm of the poster."
    ),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same benchmark, bit for bit."),
    as_json: bool = Json,
) -> None:
    """Search the widths of a small model that does the work of PROFILE, and write its folder."""
    from aimatrix import api
    from aimatrix.cli.tables import print_benchmark

    with progress("searching") as bar:
        made = api.synthesize(
            profile,
            output,
            search=search,
            seed=seed,
            on_stage=lambda stage: bar.update(
                bar.task_ids[0], description=f"found {stage.name}, inputs of {stage.center}"
            ),
        )
    if as_json:
        print_json(_document(made, output))
    else:
        print_benchmark(made.benchmark, made.seconds)
        print(f"wrote {output}")


def _document(made: Synthesized, output: Path) -> dict[str, Any]:
    synthesis = made.benchmark.synthesis
    return {
        "output": str(output),
        "search": synthesis.search,
        "seed": synthesis.seed,
        "terms": synthesis.terms,
        "warps_kind": synthesis.warps_kind,
        "seconds": made.seconds,
        "groups": [_group(stage) for stage in made.benchmark.stages],
    }


def _group(stage: Stage) -> dict[str, Any]:
    """macs and warps are of the stage times its multiplicity: what it stands for."""
    return {
        "name": stage.name,
        "center": stage.center,
        "multiplicity": stage.multiplicity,
        "layers": len(stage.layers),
        "macs": round(stage.macs * stage.multiplicity),
        "warps": round(stage.warps * stage.multiplicity),
        "target_macs": stage.target_macs,
        "target_warps": stage.target_warps,
        "fitness_error_percent": 100 * stage.fitness_error,
    }
