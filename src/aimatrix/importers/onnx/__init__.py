"""Reads ONNX models: the operators that a run of one executes, with their shapes.

`read` is of a file, `calls_of_run` of a run that was watched; both go the same way, so that they
give the same operators. Models are followed in a process of their own, which loads onnx.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aimatrix.dialects.raw import TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.imported import Imported, RunCalls, TracedCall
from aimatrix.importers.onnx.isolation import ask


def read(path: Path, dims: Mapping[str, int] | None = None, device: str = "cpu") -> Imported:
    """The operators of one run of the model in a file, as a runtime executes it by default.

    dims: sizes of its free dimensions, by name or as ``input.axis``. device: what its tensors are
    on. Raises InputError for a file that is no sound model, and for sizes that are missing.
    """
    try:
        run = ask("of_file", path.absolute(), dict(dims or {}), device)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    pairs = [(run.calls[a][0], run.calls[b][0], times) for a, b, times in run.pairs]
    return Imported([TracedCall(raw, times) for raw, times in run.calls], pairs=pairs)


def calls_of_run(
    structure: bytes, inputs: Mapping[str, TensorArg], level: str, device: str = "cpu"
) -> RunCalls:
    """The operators of one run of a model, how often each is called, and who consumes whose output.

    structure: the model's skeleton. inputs: what the run was given, by the names of the model's
    inputs. level: what the session did to the graph before: disabled, basic, extended or all.
    Raises InputError for what is no sound model.
    """
    try:
        return ask("of_session", structure, dict(inputs), level, device)
    except InputError as error:
        raise InputError(f"the model of a session: {error}") from error
