"""Has the native library there when a command starts: found in the cache, or built once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.native.cache import (
    BuildError,
    Cache,
    Failure,
    Library,
    Notes,
    cache_folder,
)
from aimatrix.monitoring.native.compiler import (
    SOURCES,
    Compiler,
    compile_library,
    digest,
    find_compiler,
)
from aimatrix.monitoring.native.interpreter import Interpreter, Torch, find_interpreter, probe
from aimatrix.monitoring.native.self_test import PATIENCE, check_library
from aimatrix.monitoring.processes import run

_ABI = "import torch; print(int(torch._C._GLIBCXX_USE_CXX11_ABI))"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why there is no library. torch: of the command's Python; None where there is nothing to say.

    A command whose Python has no torch needs no library; so far as it starts another Python, the
    agent looks for the library of that one's torch by itself.
    """

    reason: str
    torch: Torch | None


def ensure(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] = os.environ,
    sources: Path = SOURCES,
    tell: Callable[[str], object] = notice,
) -> Library | Unavailable:
    """The native library for the torch that ``command`` is going to import; it does not raise.

    It costs a start of that Python (some 50 ms). Where there is no library yet it is built, which
    ``tell`` is told; a build that failed is tried again only with another compiler.
    """
    torch = None
    try:
        interpreter = probe(find_interpreter(command, environment), environment)
        torch = interpreter.torch
        if torch is None:
            return Unavailable(f"{interpreter.path} has no torch", None)
        cache = Cache(cache_folder(environment), digest(sources))
        return find(cache, torch) or build(
            interpreter, torch, cache, environment=environment, sources=sources, tell=tell
        )
    except BuildError as error:
        return Unavailable(str(error), torch)
    except Exception as error:  # whatever it is, the command is to be watched by other means
        return Unavailable(f"the native capture cannot be had: {error!r}", torch)


def find(cache: Cache, torch: Torch) -> Library | None:
    """The library for ``torch`` if it has been built; BuildError when it may not be used."""
    cache.check()
    return cache.find(torch)


def build(
    interpreter: Interpreter,
    torch: Torch,
    cache: Cache,
    *,
    environment: Mapping[str, str] = os.environ,
    sources: Path = SOURCES,
    tell: Callable[[str], object] = notice,
    again: bool = False,
) -> Library:
    """Build the library for ``torch``, test it, and keep it; or take what another has built.

    again: also where there is one, or where the last build failed. Raises BuildError with the
    reason, which is kept.
    """
    compiler = find_compiler(environment)
    if not again:
        _check_not_failed(cache, torch, compiler)
    tell(f"building the native capture for torch {torch.version}, once (about 20 s)")
    with cache.building() as work:
        if not again:  # while we waited for the lock
            found = cache.find(torch)
            if found is not None:
                return found
            _check_not_failed(cache, torch, compiler)
        try:
            return _build(interpreter, torch, cache, compiler, sources, work, environment)
        except BuildError as error:
            cache.remember(torch, Failure(str(error), compiler.identity))
            raise


def _check_not_failed(cache: Cache, torch: Torch, compiler: Compiler) -> None:
    failure = cache.failure(torch)
    if failure is not None and failure.compiler == compiler.identity:
        raise BuildError(f"{failure.reason}; to try again: aimatrix doctor --build")


def _build(
    interpreter: Interpreter,
    torch: Torch,
    cache: Cache,
    compiler: Compiler,
    sources: Path,
    work: Path,
    environment: Mapping[str, str],
) -> Library:
    abi = _abi(interpreter, environment)
    file = work / "capture.so"
    flags = compile_library(compiler, sources, torch, abi, file, environment)
    event_ns = check_library(interpreter.path, file, work, environment)
    built = datetime.now(UTC).isoformat(timespec="seconds")
    return cache.keep(torch, abi, file, Notes(torch.version, compiler.name, flags, event_ns, built))


def _abi(interpreter: Interpreter, environment: Mapping[str, str]) -> str:
    """Which ABI of the C++ library torch was built with; only torch itself knows."""
    ended = run([interpreter.path, "-c", _ABI], environment=environment, timeout=PATIENCE)
    words = ended.out.split()
    if ended.code != 0 or not words or words[-1] not in ("0", "1"):
        raise BuildError(f"torch cannot be imported by {interpreter.path}: {ended.last_words}")
    return words[-1]
