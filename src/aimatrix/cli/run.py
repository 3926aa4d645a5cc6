"""`aimatrix run`: run a benchmark on one platform."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from aimatrix.cli.options import Json, parse_duration, print_json, progress


def command(
    folder: Path = typer.Argument(help="The benchmark's folder.", show_default=False),
    backend: str = typer.Option(
        "torch", help="torch, torch-compile, onnxruntime, openvino, jax or null."
    ),
    device: str = typer.Option("cpu", help="cpu, cuda, or another device of the backend."),
    dtype: str = typer.Option("float32", help="float32, bfloat16 or float16."),
    threads: int = typer.Option(
        None, min=1, help="CPU threads; the backend's own choice if not given.", show_default=False
    ),
    time_limit: str = typer.Option("30s", help="Longest time of measuring."),
    output: Path = typer.Option(
        None, "-o", "--output", help="Write the result here.", show_default=False
    ),
    as_json: bool = Json,
) -> None:
    """Run the benchmark in FOLDER until its times are steady and print them per stage."""
    from aimatrix import api, backends
    from aimatrix.cli.tables import print_run

    backends.get(backend).own_process(threads)
    with progress("setting up") as bar:
        result = api.run(
            folder,
            backend=backend,
            device=device,
            dtype=dtype,
            threads=threads,
            time_limit=parse_duration(time_limit, "--time-limit"),
            output=output,
            progress=lambda share: bar.update(
                bar.task_ids[0], description=f"measuring, {share:.0%} of the time limit"
            ),
        )
    if as_json:
        print_json(json.loads(result.model_dump_json()))
    else:
        print_run(result)
