"""`aimatrix store`: what the workload log holds, its small files as few, and old rows removed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aimatrix.cli.options import Json, Store, parse_moment, print_json, print_table
from aimatrix.errors import InputError
from aimatrix.reporting.formats import visible

if TYPE_CHECKING:
    from aimatrix.store.summary import Holding, Summary

app = typer.Typer(no_args_is_help=True, help="Look after the workload log.")

Since = typer.Option(
    None,
    "--since",
    help="Dates from this moment on: a date, a time, or 7d ago.",
    show_default=False,
)
Until = typer.Option(None, "--until", help="Dates before this moment.", show_default=False)


@app.command()
def info(store: Path = Store, as_json: bool = Json) -> None:
    """Tell what the log holds: periods, applications, hosts, rows, files, coverage."""
    from aimatrix import store as log

    summary = log.info(store)
    if as_json:
        print_json(_fields(summary))
        return
    print(_line(summary))
    for title, holdings in (("Applications", summary.applications), ("Hosts", summary.hosts)):
        print_table(title, ["name", "rows", "calls"], [_row(each) for each in holdings])


@app.command()
def compact(
    store: Path = Store,
    since: str = Since,
    until: str = Until,
    as_json: bool = Json,
) -> None:
    """Rewrite the small files of each date as few. Monitors and readers may go on meanwhile."""
    from aimatrix import store as log

    period = (parse_moment(since, "--since"), parse_moment(until, "--until"))
    done = log.compact(store, *period)
    if as_json:
        print_json(asdict(done))
        return
    print(
        f"{done.files_before:,} files with {done.rows:,} rows are {done.files_after:,} now"
        + _growing(done.growing)
    )


@app.command()
def prune(
    store: Path = Store,
    before: str = typer.Option(..., "--before", help="Remove windows that start before this."),
    as_json: bool = Json,
) -> None:
    """Remove what is older than a moment, for good."""
    from aimatrix import store as log

    moment = parse_moment(before, "--before")
    if moment is None:
        raise InputError("--before: names no moment")
    done = log.prune(store, moment)
    if as_json:
        print_json(asdict(done))
        return
    print(f"{done.rows:,} rows and {done.files:,} files are gone" + _growing(done.growing))


def _growing(number: int) -> str:
    left = "; {} may still grow under a running monitor and {} left for the next time"
    return left.format(f"{number:,}", "is" if number == 1 else "are") if number else ""


def _fields(summary: Summary) -> dict[str, Any]:
    known = summary.calls - summary.unknown_calls
    return {
        **asdict(summary),
        "root": str(summary.root),
        "first": summary.first and summary.first.isoformat(),
        "last": summary.last and summary.last.isoformat(),
        "coverage": known / summary.calls if summary.calls else None,
    }


def _line(summary: Summary) -> str:
    if summary.first is None or summary.last is None:
        return visible(f"{summary.root}: no rows in {summary.files:,} files")
    known = 1 - summary.unknown_calls / summary.calls
    return visible(
        f"{summary.root}: {summary.rows:,} rows and {summary.pair_rows:,} of pairs in"
        f" {summary.files:,} files ({summary.bytes / 1e6:,.1f} MB), {summary.calls:,} calls on"
        f" {summary.dates:,} dates from {summary.first.isoformat()} to {summary.last.isoformat()};"
        f" {known:.2%} of the calls are of known families"
    )


def _row(holding: Holding) -> list[str]:
    return [holding.name, f"{holding.rows:,}", f"{holding.calls:,}"]
