"""`aimatrix analyze`: turn a workload log into a profile."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from aimatrix.cli.options import Json, Store, parse_moment, parse_sizes, print_json


def command(
    store: Path = Store,
    since: str = typer.Option(
        None,
        help="Windows that start at or after: 2026-01-31, 2026-01-31T12:00, or 2h (ago).",
        show_default=False,
    ),
    until: str = typer.Option(None, help="Windows that start before.", show_default=False),
    app: str = typer.Option(None, help="Only applications like this glob.", show_default=False),
    centers: str = typer.Option(
        None,
        help="Input sizes that groups form around, such as 224,112,56; found in the data if not"
        " given.",
        show_default=False,
    ),
    split_groups: bool = typer.Option(
        False, "--split-groups", help="Count a grouped convolution as its groups."
    ),
    output: Path = typer.Option(
        None, "-o", "--output", help="Write the profile here.", show_default=False
    ),
    as_json: bool = Json,
) -> None:
    """Group the log's convolutions, total their MACs, warps and bytes, and say what is outside."""
    from aimatrix import api
    from aimatrix.cli.tables import print_profile

    profile = api.analyze(
        store,
        since=parse_moment(since, "--since"),
        until=parse_moment(until, "--until"),
        app=app,
        centers=parse_sizes(centers, "--centers"),
        split_groups=split_groups,
        output=output,
    )
    if as_json:
        print_json(json.loads(profile.model_dump_json()))
    else:
        print_profile(profile)
