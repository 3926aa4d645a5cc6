"""The spelling of platforms on the command line, and those measured when none is named."""

from __future__ import annotations

from importlib.util import find_spec

from aimatrix import backends
from aimatrix.backends.environment import computes_bfloat16, cores
from aimatrix.errors import InputError
from aimatrix.model.result import Platform
from aimatrix.ops.dtypes import itemsize

SPELLING = "BACKEND[:DTYPE[:THREADS[:DEVICE]]]"


def parse_platform(text: str) -> Platform:
    """``torch:bfloat16:2``, ``onnxruntime``, ``torch:float32::cuda:1`` as a platform.

    An empty part means its default: float32, the framework's own number of threads, cpu. Raises
    InputError for a backend, a dtype or a number of threads that there is not.
    """
    backend, dtype, threads, device = [*text.split(":", 3), "", "", ""][:4]
    try:
        backends.get(backend)
        itemsize(dtype or "float32")
    except InputError as error:
        raise InputError(f"platform {text!r}: {error}; write it as {SPELLING}") from error
    if threads and not (threads.isascii() and threads.isdigit() and int(threads) > 0):
        raise InputError(
            f"platform {text!r}: threads is {threads!r}, not a whole number of at least 1; write"
            f" it as {SPELLING}"
        )
    return Platform(
        backend=backend,
        dtype=dtype or "float32",
        threads=int(threads) if threads else None,
        device=device or "cpu",
    )


def default_platforms() -> list[Platform]:
    """Platforms of this machine that differ in kind and take seconds to set up.

    torch on one and two threads; ONNX Runtime, where it is installed, the same; and bfloat16
    where the CPU computes it fast. torch-compile has to be asked for: compiling whole
    applications takes it minutes.
    """
    names = ["torch", "onnxruntime"] if find_spec("onnxruntime") else ["torch"]
    threads = [1, 2] if cores() > 1 else [1]
    platforms = [Platform(backend=name, threads=number) for name in names for number in threads]
    if computes_bfloat16():
        platforms.append(Platform(backend="torch", dtype="bfloat16", threads=1))
    return platforms
