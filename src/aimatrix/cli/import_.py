"""`aimatrix import`: log what model files and traces tell of an application."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aimatrix.cli.options import Json, Store, print_json, print_table, progress
from aimatrix.errors import InputError
from aimatrix.reporting.formats import exact, visible

if TYPE_CHECKING:
    from aimatrix.api import ImportedFile

_DIM = re.compile(r"(?P<name>.+)=(?P<size>[0-9]{1,10})", re.ASCII)


def command(
    files: list[Path] = typer.Argument(
        ..., metavar="FILE...", help="ONNX models, PyTorch execution traces, Kineto traces."
    ),
    store: Path = Store,
    app: str = typer.Option(
        None, help="Name of the application; the file's by default.", show_default=False
    ),
    calls: int = typer.Option(
        1, help="How often the application did what each file holds: one inference, or the trace."
    ),
    dim: list[str] = typer.Option(
        [], "--dim", help="Size of a dynamic dimension of a model: batch=8. Any number of these."
    ),
    as_json: bool = Json,
) -> None:
    """Log the operators of model files and traces, as `monitor` logs those of what runs.

    A file's kind is told by its content; traces may be gzipped. Nothing is logged unless all files
    can be read.
    """
    from aimatrix import api

    sizes = dict(_size(text) for text in dim)
    with progress("reading"):
        found = api.import_(files, store=store, app=app, calls=calls, dims=sizes)
    if as_json:
        print_json({"files": [_row(file) for file in found]})
        return
    for file in found:
        for warning in file.warnings:
            print(visible(f"aimatrix: {file.path}: {warning}"), file=sys.stderr)
    print_table(
        f"imported into {store}",
        ["file", "format", "application", "operator calls", "MACs", "unknown"],
        [
            [
                str(file.path),
                file.format,
                file.app,
                exact(file.calls),
                exact(file.macs),
                exact(sum(calls for _, calls in file.unknown)),
            ]
            for file in found
        ],
    )
    for file in found:
        if file.unknown:
            names = ", ".join(f"{name} ({number:,})" for name, number in file.unknown[:10])
            print(visible(f"{file.path}: unknown operators, by calls: {names}"))


def _size(text: str) -> tuple[str, int]:
    match = _DIM.fullmatch(text)
    if match is None or int(match["size"]) < 1:
        raise InputError(f"--dim: {text!r} is no size of a dimension; write one such as batch=8")
    return match["name"], int(match["size"])


def _row(file: ImportedFile) -> dict[str, object]:
    return {
        "path": str(file.path),
        "format": file.format,
        "app": file.app,
        "calls": file.calls,
        "macs": file.macs,
        "unknown": dict(file.unknown),
        "warnings": list(file.warnings),
    }
