"""`aimatrix synthesize`: make a benchmark from a profile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from aimatrix.cli.options import Json, print_json, progress
from aimatrix.model.benchmark import Benchmark, Stage
from aimatrix.model.mix import MixBenchmark


def command(
    profile: Path = typer.Argument(help="The profile that analyze wrote.", show_default=False),
    output: Path = typer.Option(
        ..., "-o", "--output", help="Folder of the benchmark.", show_default=False
    ),
    form: str = typer.Option(
        None,
        help="mix for all operators, or convolutions for these alone, as one network; if not given,"
        " convolutions where 2-D ones do most of the MACs, and mix elsewhere or with --reduction.",
        show_default=False,
    ),
    reduction: float = typer.Option(
        None,
        help="Of a mix: how many times shorter than a round of it a pass is to be; as short as its"
        " own estimate of its error stays under 3 % if not given.",
        show_default=False,
    ),
    search: str = typer.Option(
        None,
        help="Of convolutions: default, or poster for the genetic algorithm of the poster.",
        show_default=False,
    ),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same benchmark, bit for bit."),
    as_json: bool = Json,
) -> None:
    """Make the small benchmark that does the work of PROFILE, and write its folder."""
    from aimatrix import api
    from aimatrix.cli.tables import print_made

    with progress("searching") as bar:
        made = api.synthesize(
            profile,
            output,
            form=form,
            reduction=reduction,
            search=search,
            seed=seed,
            on_stage=lambda stage: bar.update(
                bar.task_ids[0], description=f"found {stage.name}, inputs of {stage.center}"
            ),
        )
    benchmark = made.benchmark
    if as_json:
        print_json({"output": str(output), "seconds": made.seconds, **_document(benchmark)})
    else:
        print_made(benchmark, made.seconds)
        print(f"wrote {output}")
    if isinstance(benchmark, MixBenchmark):
        _tell_if_longer(benchmark, reduction)


def _tell_if_longer(benchmark: MixBenchmark, reduction: float | None) -> None:
    """Say so if it is longer than was asked for: no step is left that would make it shorter."""
    reached = benchmark.synthesis.estimated_reduction
    if reduction is not None and reached < reduction:
        print(
            f"aimatrix: this mix has no benchmark that is {reduction:g} times shorter than a round"
            f" of it: this one is the shortest, {reached:.1f} times, and by its own estimate it"
            f" misses the time by {benchmark.synthesis.estimated_error:.0%}",
            file=sys.stderr,
        )


def _document(benchmark: Benchmark | MixBenchmark) -> dict[str, Any]:
    if isinstance(benchmark, MixBenchmark):
        return _mix_document(benchmark)
    synthesis = benchmark.synthesis
    return {
        "form": "convolutions",
        "search": synthesis.search,
        "seed": synthesis.seed,
        "terms": synthesis.terms,
        "warps_kind": synthesis.warps_kind,
        "groups": [_group(stage) for stage in benchmark.stages],
    }


def _mix_document(benchmark: MixBenchmark) -> dict[str, Any]:
    synthesis = benchmark.synthesis
    return {
        "form": "mix",
        "seed": synthesis.seed,
        "rounds": synthesis.rounds,
        "estimated_error_percent": 100 * synthesis.estimated_error,
        "estimated_reduction": synthesis.estimated_reduction,
        "stages": [
            json.loads(stage.model_dump_json(exclude={"operators"})) for stage in benchmark.stages
        ],
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
