"""Tells what a file is by its content, and has the importer of that format read it."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from aimatrix.dialects.aten import ATTRIBUTES
from aimatrix.errors import InputError
from aimatrix.importers.imported import Imported

#: bytes from the begin of a file in which a trace names what it has
_LOOKED_AT = 1 << 16
_GZIP = b"\x1f\x8b"

#: how files begin that hold what could be imported, in a way that nothing here reads
_OTHERS = {
    b"PK\x03\x04": "a zip archive; unpack it, and name what is in it",
    _GZIP: "gzipped twice; unpack it once",
    BOM_UTF16_LE: "text in UTF-16; save it as UTF-8",
    BOM_UTF16_BE: "text in UTF-16; save it as UTF-8",
}

Dims = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Format:
    """A format that can be imported.

    source: what a record names as the framework. mend: what to do when a file holds no operators.
    """

    name: str
    source: str
    mend: str
    read: Callable[[Path, Dims], Imported]


def read(path: Path, dims: Dims) -> tuple[Format, Imported]:
    """What a file is, and the calls in it. Raises InputError for one that cannot be read."""
    try:
        found = _format(path)
        return found, found.read(path, dims)
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory; record less in one file") from error


def _onnx(path: Path, dims: Dims) -> Imported:
    from aimatrix.importers import onnx  # loads onnx, which traces do not need

    return onnx.read(path, dims)


def _execution_trace(path: Path, _: Dims) -> Imported:
    from aimatrix.importers import execution_trace

    return execution_trace.read(path, ATTRIBUTES)


def _kineto(path: Path, _: Dims) -> Imported:
    from aimatrix.importers import kineto

    return kineto.read_calls(path, ATTRIBUTES)


ONNX = Format("ONNX model", "onnx", "export a model that computes something", _onnx)
EXECUTION_TRACE = Format(
    "execution trace",
    "torch",
    "record one with torch.profiler.ExecutionTraceObserver around the code that runs the model",
    _execution_trace,
)
KINETO = Format(
    "Kineto trace",
    "torch",
    "record one with torch.profiler.profile(record_shapes=True) and export_chrome_trace",
    _kineto,
)


def _format(path: Path) -> Format:
    begin, packed = _begin(path)
    text = begin.removeprefix(BOM_UTF8).lstrip()
    for magic, mend in _OTHERS.items():
        if begin.startswith(magic):
            raise InputError(f"{path}: is {mend}")
    if not text:
        raise InputError(f"{path}: is empty; name an ONNX model or a trace of PyTorch")
    if text[:1] == b"[":
        return KINETO
    if text[:1] != b"{":
        if packed:
            raise InputError(
                f"{path}: holds no trace; unpack it, if it is a model that was gzipped"
            )
        return ONNX
    # an execution trace names its schema first; Kineto's have a version of their own
    if b'"traceEvents"' in text or b'"schemaVersion"' in text or b'"deviceProperties"' in text:
        return KINETO
    if b'"nodes"' in text or b'"schema"' in text:
        return EXECUTION_TRACE
    raise InputError(
        f"{path}: is JSON, but has neither the nodes of an execution trace nor the traceEvents of"
        " a Kineto trace; name an ONNX model or a trace of PyTorch"
    )


def _begin(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file, of a gzipped one those of what it holds; whether it is one."""
    try:
        # it is read twice, and opening a pipe that nobody writes to would wait for ever
        if not S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: is no regular file; save what it gives and name that file")
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if begin[:2] != _GZIP:
        return begin, False
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        inside = packed.decompress(begin, _LOOKED_AT)
    except zlib.error as error:
        raise InputError(f"{path}: is damaged: {error}; copy it again") from error
    if not inside and not packed.eof:
        raise InputError(f"{path}: is damaged: its compressed data are cut short; copy it again")
    return inside, True
