"""What several verbs share: how their options are read, and how their answers are printed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from aimatrix.errors import InputError
from aimatrix.reporting.formats import visible

# whether it can be read is for the verbs to tell: a monitored command runs all the same
Store = typer.Option(Path("aimatrix-store"), help="Folder of the workload log.", readable=False)
Json = typer.Option(False, "--json", help="Print one JSON object and nothing else.")

#: seconds of the longest duration, a century, and elements of the largest side
LONGEST = 100 * 366 * 86400
LARGEST = 2**31

#: characters of a line where there is no terminal
WIDE = 200

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)
_SIZE = re.compile(r"\d{1,10}", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_duration(text: str, option: str) -> float:
    """``60``, ``60s``, ``5m``, ``2h``, ``1d``, ``1w`` in seconds; InputError for anything else."""
    match = _AGO.fullmatch(text if not text.replace(".", "", 1).isdigit() else f"{text}s")
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= LONGEST:
        raise InputError(f"{option}: {text!r} is no duration; write one such as 60s, 5m or 2h")
    return seconds


def parse_share(text: str, option: str) -> float:
    """``5%`` as 0.05, ``none`` as 0 (no limit); InputError for anything else."""
    if text == "none":
        return 0.0
    match = _PERCENT.fullmatch(text)
    percent = float(match[1]) if match else 0.0
    if not 0 < percent <= 100:
        raise InputError(f"{option}: {text!r} is no share; write one such as 5%, or none")
    return percent / 100


def parse_moment(text: str | None, option: str) -> datetime | None:
    """A date, a time, or a duration ago (``2h``) as a moment; without a zone it is local time."""
    if text is None:
        return None
    if _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text, option))
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"{option}: {text!r} is no moment; write one such as 2026-01-31, 2026-01-31T12:00 or 2h"
        ) from error


def parse_sizes(text: str | None, option: str) -> list[int] | None:
    """``224,112,56`` as numbers; InputError for anything else."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(_SIZE.fullmatch(part) and 0 < int(part) <= LARGEST for part in parts):
        raise InputError(f"{option}: {text!r} are no sizes; write them as 224,112,56")
    return [int(part) for part in parts]


def print_json(document: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(document, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on standard output; all but the first column are numbers, to the right."""
    # names come from files: as Text they are printed as they are, not read as markup
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    if sys.stdout.isatty():
        Console().print(table)
    else:  # a pipe has no width to fit into
        Console(width=WIDE).print(table)


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """A line that shows on a terminal that work goes on; nothing in a pipe."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        bar.add_task(text, total=None)
        yield bar
