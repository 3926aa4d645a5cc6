"""Captures operators with the native library: outermost ones, in every thread, nearly for free.

The library (C++, `monitoring/native`) is built for one torch. It is used only when it is there for
this one, and where nobody else can write; `LibraryMissingError` says why not.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from . import library as places
from .spool import pid_namespace

ABI = 2
#: beside the library: how it was built, and what it costs for each event
STATED = "library.json"


class LibraryMissingError(RuntimeError):
    """There is no library for this torch, or none that may be used."""


class NativeCapture:
    """The library as a capture: of this whole process, and of its forked children."""

    name = "native"

    def __init__(
        self, library: ctypes.CDLL, configuration: Mapping[str, Any], spool: str, event_ns: float
    ) -> None:
        self._library = library
        self._spool = spool
        self._configuration = configuration
        self._event_ns = event_ns

    @property
    def path(self) -> str:
        """The library's file."""
        return self._library._name

    def start(self) -> None:
        """Begin to see calls."""
        failed = self._library.aimatrix_start(
            os.fsencode(self._spool),
            spell_attributes(self._configuration["attributes"]),
            self._configuration["capacity"],
            pid_namespace(),
            self._configuration["budget"],
            self._event_ns,
            1e9 * self._configuration["allowance"],
            bool(self._configuration["time"]),
        )
        if failed:
            raise RuntimeError("the native capture does not start")

    def stop(self) -> None:
        """See no more calls, of any thread."""
        self._library.aimatrix_stop()

    def reset_after_fork(self) -> None:
        """Nothing to do: the library counts a child's calls in files of the child."""

    def seen(self) -> int:
        """How many operator calls have been counted so far."""
        return int(self._library.aimatrix_seen())


def open_native(configuration: Mapping[str, Any], spool: str) -> NativeCapture:
    """The capture, not started. Raises LibraryMissingError."""
    folder = os.path.join(configuration["library"], library_key(configuration["sources"]))
    path = os.path.join(folder, places.FILE)
    if not configuration["library"] or not os.path.exists(path):
        raise LibraryMissingError(f"none is built for torch {torch.__version__}")
    try:
        path = places.trusted(path)
        with open(os.path.join(folder, STATED), encoding="utf-8") as file:
            event_ns = float(json.load(file)["event_ns"])
        library = load(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LibraryMissingError(f"{path} cannot be used: {error}") from error
    return NativeCapture(library, configuration, spool, event_ns)


def library_key(sources: str) -> str:
    """The name of the folder that holds the library for this torch, built from ``sources``."""
    git = str(torch.version.git_version or "")
    return places.key(torch.__version__, git, str(int(torch.compiled_with_cxx11_abi())), sources)


def spell_attributes(attributes: Mapping[str, Sequence[str]]) -> bytes:
    """Operator name -> arguments to keep, as the library reads it."""
    return "".join(f"{name}\t{','.join(kept)}\n" for name, kept in attributes.items()).encode()


def load(path: str) -> ctypes.CDLL:
    """The library; `regions` declares its other functions.

    Raises OSError for what is none of ours.
    """
    library = ctypes.CDLL(path)
    try:
        if library.aimatrix_abi() != ABI:
            raise OSError(f"its interface is version {library.aimatrix_abi()}, not {ABI}")
        library.aimatrix_start.argtypes = [
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_int,
        ]
        library.aimatrix_stop.restype = None
        library.aimatrix_seen.restype = ctypes.c_int64
    except AttributeError as error:
        raise OSError(f"is no library of ours: {error}") from error
    return library
