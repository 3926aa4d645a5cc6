"""Runs benchmarks on frameworks: one file per backend, each loaded when it is first asked for.

A third party adds a backend through an entry point; see `docs/backends.md`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from aimatrix.backends.backend import Backend, Pass
from aimatrix.errors import InputError

__all__ = ["ENTRY_POINTS", "Backend", "Pass", "get", "names"]

#: the entry point group in which other packages name their backends
ENTRY_POINTS = "aimatrix.backends"

_BUILT_IN = {
    "torch": "aimatrix.backends.torch_eager:TorchEager",
    "torch-compile": "aimatrix.backends.torch_compile:TorchCompile",
    "onnxruntime": "aimatrix.backends.onnx_runtime:OnnxRuntime",
    "openvino": "aimatrix.backends.openvino:OpenVino",
    "jax": "aimatrix.backends.jax:Jax",
    "null": "aimatrix.backends.null:Null",
}


def names() -> tuple[str, ...]:
    """The names of all backends: the built-in ones, then those of other packages."""
    return (*_BUILT_IN, *sorted(set(_third_party()) - set(_BUILT_IN)))


def get(name: str) -> Backend:
    """The backend called ``name``, whether its framework is installed or not.

    Raises InputError for a name that no backend has, or that two packages claim.
    """
    others = _third_party()
    if name in _BUILT_IN:
        if name in others:
            raise InputError(
                f"the entry point {others[name][0].value!r} claims the name of the built-in"
                f" backend {name}; rename it"
            )
        module, _, attribute = _BUILT_IN[name].partition(":")
        return _checked(name, getattr(import_module(module), attribute)())
    if name not in others:
        raise InputError(f"unknown backend {name!r}; known are {', '.join(names())}")
    if len(others[name]) > 1:
        claims = " and ".join(entry.value for entry in others[name])
        raise InputError(f"the backend {name!r} is claimed by {claims}; uninstall one of them")
    return _checked(name, others[name][0].load()())


def _third_party() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        found.setdefault(entry.name, []).append(entry)
    return found


def _checked(name: str, backend: object) -> Backend:
    if not isinstance(backend, Backend) or backend.name != name:
        raise InputError(
            f"the entry point of the backend {name!r} gives a {type(backend).__name__}, not an"
            f" aimatrix.backends.Backend of that name"
        )
    return backend
