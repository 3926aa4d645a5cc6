"""The process that follows ONNX models, one request after another, until its user closes the pipe.

It has limits of memory, and may die of a crafted model: that ends no other process.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.imported import RunCalls
from aimatrix.importers.onnx import run
from aimatrix.importers.onnx.isolation import receive, send

#: bytes that a model may take beside what the process has at its start
_MEMORY = 4 * 2**30

_FUNCTIONS: dict[str, Callable[..., RunCalls]] = {
    "of_file": run.of_file,
    "of_session": run.of_session,
}


def main() -> None:
    """Answer requests from standard input on standard output."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whatever a library prints
    _limit()
    send(answers, b"")  # it has started
    while (request := receive(requests)) is not None:
        function, arguments = pickle.loads(request)
        send(answers, json.dumps(_answer(function, arguments)).encode())


def _limit() -> None:
    """Bound the process's memory, and have it leave no core behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # a system that has no such limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(function: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    try:
        made = _FUNCTIONS[function](*arguments)
    except InputError as error:
        return {"error": str(error)}
    except Exception as error:  # what a crafted model makes of libraries is no end of kinds
        return {"error": f"its graph cannot be followed ({type(error).__name__}); export it again"}
    calls = [(json.dumps(_document(raw)), times) for raw, times in made.calls]
    return {"calls": calls, "pairs": made.pairs}


def _document(raw: RawCall) -> dict[str, Any]:
    """A call as `dialects.raw.from_json` reads it."""
    arguments = {name: _item(value) for name, value in raw.arguments.items()}
    return {"name": raw.name, "dialect": raw.dialect, "arguments": arguments}


def _item(value: Any) -> Any:
    if isinstance(value, TensorArg):
        return asdict(value)
    if isinstance(value, tuple):
        return [_item(part) for part in value]
    return value
