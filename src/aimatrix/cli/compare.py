"""`aimatrix compare`: results of one benchmark on several platforms, side by side."""

from __future__ import annotations

from pathlib import Path

import typer

from aimatrix.cli.options import Json, print_json


def command(
    results: list[Path] = typer.Argument(help="Files that run wrote.", show_default=False),
    as_json: bool = Json,
) -> None:
    """Print the predicted time of the mix on each platform, and its ratio to the first one's."""
    from aimatrix import api
    from aimatrix.cli.tables import print_comparison

    comparisons = api.compare(results)
    if as_json:
        rows = [
            {
                "platform": item.platform.model_dump(),
                "predicted_seconds": item.predicted_seconds,
                "ratio": item.ratio,
            }
            for item in comparisons
        ]
        print_json({"platforms": rows})
    else:
        print_comparison(comparisons)
