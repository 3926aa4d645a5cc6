"""Writes the benchmark folder: specification, readable standalone model, ONNX model, its README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from aimatrix.model.artefact import sides
from aimatrix.model.benchmark import MATCHED, Benchmark, Layer, Stage
from aimatrix.model.mix import MixBenchmark
from aimatrix.version import VERSION


def model_source(benchmark: Benchmark) -> str:
    """The text of ``model.py``: the model in plain PyTorch, standalone."""
    return _render(
        "model.py.j2",
        version=VERSION,
        applications=benchmark.applications,
        batch=benchmark.batch,
        total_macs=f"{sum(stage.macs for stage in benchmark.stages):,}",
        stages=[_stage_fields(stage) for stage in benchmark.stages],
    )


def readme_text(benchmark: Benchmark) -> str:
    """The text of the folder's ``README.md``: what the benchmark stands for, how well, how to run.

    It names no application.
    """
    return _render(
        "README.md.j2",
        benchmark=benchmark,
        stages=benchmark.stages,
        macs=sum(stage.macs for stage in benchmark.stages),
        worst=max(stage.fitness_error for stage in benchmark.stages),
        missed=[stage for stage in benchmark.stages if not stage.matched],
        goal=MATCHED,
    )


def mix_readme_text(benchmark: MixBenchmark) -> str:
    """The text of a mix's ``README.md``. It names no application."""
    return _render("MIX_README.md.j2", benchmark=benchmark, stages=benchmark.stages)


def mix_model_source(benchmark: MixBenchmark, definitions: str, lines: Sequence[str]) -> str:
    """The text of a mix's ``model.py``: the stages in ``lines``, by ``definitions``, in Python."""
    return _render(
        "mix_model.py.j2",
        version=VERSION,
        applications=benchmark.applications,
        stages=len(benchmark.stages),
        functional="F." in definitions or any("F." in line for line in lines),
        definitions=definitions,
        lines="\n".join(lines),
    )


def _render(template: str, **fields: Any) -> str:
    environment = Environment(
        loader=PackageLoader("aimatrix.benchmark"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the results are Python and Markdown; fields are numbers, or ours
    )
    return environment.get_template(template).render(**fields)


def _stage_fields(stage: Stage) -> dict[str, Any]:
    times = f"{stage.multiplicity:g} time{'' if stage.multiplicity == 1 else 's'} its work"
    return {
        "center": stage.center,
        "macs_text": f"{stage.macs:,}",
        "multiplicity_text": times,
        "input_size": tuple(stage.input_size),
        "in_channels": stage.in_channels,
        "multiplicity": repr(stage.multiplicity),
        "branches": [_layer_source(layer) for layer in stage.branches],
        "chain": [_layer_source(layer) for layer in stage.main],
    }


def _layer_source(layer: Layer) -> str:
    arguments = [str(layer.in_channels), str(layer.out_channels), repr(sides(layer.kernel_size))]
    if layer.stride != (1, 1):
        arguments.append(f"stride={sides(layer.stride)!r}")
    if layer.padding != (0, 0):
        arguments.append(f"padding={sides(layer.padding)!r}")
    if layer.groups != 1:
        arguments.append(f"groups={layer.groups}")
    return f"conv({', '.join(arguments)})"
