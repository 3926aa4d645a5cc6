"""Reads ONNX models: the operators that a run of one executes, with their shapes.

`read` is of a file, `calls_of_run` of a run that was watched; both go the same way, so that they
give the same operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.imported import Imported, TracedCall
from aimatrix.importers.onnx import model as models
from aimatrix.importers.onnx.calls import calls_of, other_types
from aimatrix.importers.onnx.execution import Execution
from aimatrix.importers.onnx.inference import Inference
from aimatrix.importers.onnx.quantized import on_integers
from aimatrix.importers.onnx.simplify import simplified
from aimatrix.importers.onnx.values import Value

#: the levels of ONNX Runtime's graph optimization at which it does so
_ON_INTEGERS = ("extended", "all")
_MERGED = ("basic", *_ON_INTEGERS)


def read(path: Path, dims: Mapping[str, int] | None = None, device: str = "cpu") -> Imported:
    """The operators of one run of the model in a file, as a runtime executes it by default.

    dims: sizes of its free dimensions, by name or as ``input.axis``. device: what its tensors are
    on. Raises InputError for a file that is no sound model, and for sizes that are missing.
    """
    model = models.load(path)
    try:
        calls = _calls(model, models.sized(model, dims or {}), "all", device)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Imported([TracedCall(raw, times, None, outermost=True) for raw, times in calls])


def calls_of_run(
    structure: bytes, inputs: Mapping[str, TensorArg], level: str, device: str = "cpu"
) -> list[tuple[RawCall, int]]:
    """The operators of one run of a model, with how often each is called.

    structure: the model's skeleton. inputs: what the run was given, by the names of the model's
    inputs. level: what the session did to the graph before: disabled, basic, extended or all.
    Raises InputError for what is no sound model.
    """
    try:
        model = models.parse(structure)
    except ValueError as error:
        raise InputError(f"the model of a session cannot be read: {error}") from error
    return _calls(model, models.given(model, inputs), level, device)


def _calls(
    model: ModelProto, inputs: Mapping[str, Value], level: str, device: str
) -> list[tuple[RawCall, int]]:
    execution = Execution(model, other_types)
    outputs = execution.run(inputs)
    steps = execution.steps
    if level in _MERGED:
        steps = simplified(steps, outputs)
    if level in _ON_INTEGERS:
        steps = on_integers(steps, outputs)
    return calls_of(steps, Inference(model.opset_import, model.ir_version), device)
