"""`aimatrix report`: one HTML page on profiles, benchmarks and results."""

from __future__ import annotations

from pathlib import Path

import typer

from aimatrix.cli.options import Json, print_json


def command(
    paths: list[Path] = typer.Argument(
        help="Artefact files, or folders that hold them.", show_default=False
    ),
    output: Path = typer.Option(Path("report.html"), "-o", "--output", help="The page."),
    published: bool = typer.Option(
        False, "--published", help="Show the poster's tables beside (for its three networks)."
    ),
    as_json: bool = Json,
) -> None:
    """Write one self-contained page on everything in PATHS."""
    from aimatrix import api

    written = api.report(paths, output, published=published)
    if as_json:
        print_json({"report": str(written)})
    else:
        print(f"wrote {written}")
