"""Applications for the runtimes of ONNX: torch modules, as torch exports them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aimatrix.backends.backend import first_line
from aimatrix.errors import MissingPackageError, UnsupportedError

_FILE = "application.onnx"
#: where the export of the application is kept that is being prepared
_KEPT: ContextVar[Path | None] = ContextVar("kept", default=None)


def check_module(function: Callable[..., Any], backend: str) -> None:
    """Return if torch can export it for the backend, as far as that shows beforehand.

    Raises MissingPackageError without torch or onnxscript, UnsupportedError for a callable that is
    no torch.nn.Module.
    """
    for package in ("torch", "onnxscript"):
        if find_spec(package) is None:
            raise MissingPackageError(package, f"an application on the backend {backend}")
    import torch

    if not isinstance(function, torch.nn.Module):
        raise UnsupportedError(
            f"it is a {type(function).__name__}, not a torch.nn.Module, so it cannot be"
            " exported to ONNX"
        )


@contextmanager
def keeping(folder: Path | None) -> Iterator[None]:
    """Meanwhile, `exported` keeps the model in ``folder`` and takes it from there if it is there.

    For one application: a folder of its own, which need not exist. None keeps nothing.
    """
    token = _KEPT.set(folder)
    try:
        yield
    finally:
        _KEPT.reset(token)


def kept() -> Path | None:
    """The folder that `keeping` has given."""
    return _KEPT.get()


@contextmanager
def exported(module: Any, inputs: Sequence[Any]) -> Iterator[tuple[Path, list[np.ndarray]]]:
    """The file of the model, which is removed again unless it is kept, and the inputs as arrays.

    Raises UnsupportedError when torch cannot export it.
    """
    arrays = [_array(value) for value in inputs]
    own = kept()
    if own is not None:
        if not own.exists():
            _export_whole(module, inputs, own)
        yield own / _FILE, arrays
        return
    with tempfile.TemporaryDirectory() as folder:
        _export(module, inputs, Path(folder))
        yield Path(folder) / _FILE, arrays


def _export_whole(module: Any, inputs: Sequence[Any], folder: Path) -> None:
    """Export into a folder that is there only when all of the model is in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        whole = Path(made) / folder.name
        whole.mkdir()
        _export(module, inputs, whole)
        whole.rename(folder)


def _array(value: Any) -> np.ndarray:
    if not hasattr(value, "numpy"):
        raise UnsupportedError(
            f"an input is a {type(value).__name__}, not a tensor, so the application cannot be"
            " exported to ONNX"
        )
    array: np.ndarray = value.detach().cpu().numpy()
    return array


def _export(module: Any, inputs: Sequence[Any], folder: Path) -> None:
    import torch

    path = folder / _FILE
    try:
        torch.onnx.export(
            module.eval(), tuple(inputs), path, dynamo=True, external_data=True, verbose=False
        )
    except Exception as error:  # the exporter raises whatever its many parts raise
        raise UnsupportedError(f"torch cannot export it to ONNX: {first_line(error)}") from error
