"""Asks a process of our own to follow a model: a crafted file can crash or fill the onnx library.

The process starts with the first model and stays for the next ones. What it answers is read as
data.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
from typing import IO, Any

from aimatrix.dialects.raw import from_json
from aimatrix.errors import InputError
from aimatrix.importers.imported import RunCalls

#: seconds that following one model may take; one of 20,000 nodes takes some ten
_LONGEST = 60.0
#: the size of a message goes before it
_SIZE = struct.Struct("<Q")
_LARGEST = 2**30

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from aimatrix.importers.onnx.worker import main; main()"
)


def ask(function: str, *arguments: Any) -> RunCalls:
    """What a function of `aimatrix.importers.onnx.run` answers.

    Raises InputError where that does, and for a model that its process cannot cope with.
    """
    with _lock:
        answer = _process().ask((function, arguments))
    if "error" in answer:
        raise InputError(answer["error"])
    calls = [(from_json(call), times) for call, times in answer["calls"]]
    pairs = [(int(a), int(b), int(times)) for a, b, times in answer["pairs"]]
    if any(place not in range(len(calls)) for pair in pairs for place in pair[:2]):
        raise InputError(_REASON)
    return RunCalls(calls, pairs)


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message to a pipe."""
    stream.write(_SIZE.pack(len(message)) + message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message from a pipe; None where it has ended."""
    head = stream.read(_SIZE.size)
    if len(head) < _SIZE.size:
        return None
    size = _SIZE.unpack(head)[0]
    message = stream.read(min(size, _LARGEST))
    return message if len(message) == size else None


class _Process:
    """A running worker, of the process with the id ``owner``."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the terminal is for its user
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise InputError(f"{_NO_START}: {error}") from error
        if self._process.stdout is None or receive(self._process.stdout) is None:
            self.end()
            raise InputError(f"{_NO_START}; see whether `import onnx` works in it")

    def ask(self, request: tuple[str, tuple[Any, ...]]) -> dict[str, Any]:
        """The answer to a request. The worker is gone if there is none, and it is ended."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        timer = threading.Timer(_LONGEST, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            send(requests, pickle.dumps(request))
            message = receive(answers)
        except BrokenPipeError:
            message = None
        except BaseException:
            self.end()
            raise
        finally:
            timer.cancel()
        if message is not None:
            answer: dict[str, Any] = json.loads(message)
            return answer
        self.end()
        return {"error": _REASON}

    def end(self) -> None:
        """Stop the worker."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what it did not take in any more
                    stream.close()

    def is_usable(self) -> bool:
        """Whether it is there, and this process's own: a forked child must not share it."""
        return self.owner == os.getpid() and self._process.poll() is None


_REASON = "the onnx library cannot cope with it; check it with onnx.checker and export it again"

_NO_START = f"{sys.executable} cannot be started to read ONNX models"

_lock = threading.Lock()
_current: list[_Process] = []


def _process() -> _Process:
    if not _current or not _current[0].is_usable():
        _current[:] = [_Process()]
    return _current[0]


@atexit.register
def _end() -> None:
    for process in _current:
        if process.owner == os.getpid():
            process.end()
