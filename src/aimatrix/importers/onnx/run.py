"""The operators of one run of an ONNX model, of a file and of a session that was watched alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.imported import RunCalls
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


def of_file(path: Path, dims: Mapping[str, int], device: str) -> RunCalls:
    """The calls of a run of the model in a file, as a runtime runs it by default.

    Raises InputError for a file that is no sound model, and for sizes that are missing.
    """
    model = models.load(path)
    return _calls(model, models.sized(model, dims), "all", device)


def of_session(
    structure: bytes, inputs: Mapping[str, TensorArg], level: str, device: str
) -> RunCalls:
    """The calls of a run of a session, whose model has this skeleton, on inputs of these shapes.

    Raises InputError for what is no sound model.
    """
    model = models.parse(structure)
    return _calls(model, models.given(model, inputs), level, device)


def _calls(model: ModelProto, inputs: Mapping[str, Value], level: str, device: str) -> RunCalls:
    execution = Execution(model, other_types)
    outputs = execution.run(inputs)
    steps = execution.steps
    if level in _MERGED:
        steps = simplified(steps, outputs)
    if level in _ON_INTEGERS:
        steps = on_integers(steps, outputs)
    return calls_of(steps, Inference(model.opset_import, model.ir_version), device)
