"""Says what the native capture needs, what of it is there, and whether it would be used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aimatrix.monitoring.native.cache import BuildError, Cache, Library, cache_folder
from aimatrix.monitoring.native.compiler import SOURCES, Compiler, digest, find_compiler
from aimatrix.monitoring.native.interpreter import Interpreter, Torch, find_interpreter, probe
from aimatrix.monitoring.native.provision import build, find


class State(StrEnum):
    """How it stands with a library."""

    READY = "ready"
    NOT_BUILT = "not built"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a monitor would find for a command.

    cache: the folder of all libraries. cache_problem: why nothing of it would be used. key: the
    folder of this torch's library in it, with ``?`` for what is known only once it is built.
    reason: why the library is not ready.
    """

    interpreter: Interpreter
    compiler: str | None
    cache: Path | None
    cache_problem: str | None
    key: str | None
    library: Library | None
    state: State
    reason: str | None

    @property
    def capture(self) -> str:
        """The capture that a monitor would start."""
        return "native" if self.library else "dispatch"


def diagnose(
    command: Sequence[str],
    *,
    build_now: bool = False,
    environment: Mapping[str, str] = os.environ,
    sources: Path = SOURCES,
) -> Diagnosis:
    """How it stands with the library for ``command``, after having built it, if that is wanted."""
    interpreter = probe(find_interpreter(command, environment), environment)
    torch = interpreter.torch
    compiler, no_compiler = _compiler(environment)
    cache, problem = _cache(environment, sources)
    library, reason = None, problem
    if torch is None:
        reason = f"{interpreter.path} has no torch"
    elif cache is not None and problem is None:
        try:
            library = (
                build(
                    interpreter,
                    torch,
                    cache,
                    environment=environment,
                    sources=sources,
                    again=True,
                )
                if build_now
                else find(cache, torch)
            )
            reason = None if library else _why_not_built(cache, torch, compiler, no_compiler)
        except BuildError as error:
            reason = str(error)
    key = cache.name(torch) if cache and torch else None
    return Diagnosis(
        interpreter=interpreter,
        compiler=compiler.name if compiler else None,
        cache=cache.folder if cache else None,
        cache_problem=problem,
        key=library.file.parent.name if library else key,
        library=library,
        state=_state(library, cache, torch),
        reason=reason,
    )


def _compiler(environment: Mapping[str, str]) -> tuple[Compiler | None, str | None]:
    try:
        return find_compiler(environment), None
    except BuildError as error:
        return None, str(error)


def _cache(environment: Mapping[str, str], sources: Path) -> tuple[Cache | None, str | None]:
    cache = None
    try:
        cache = Cache(cache_folder(environment), digest(sources))
        cache.check()
    except BuildError as error:
        return cache, str(error)
    return cache, None


def _why_not_built(
    cache: Cache, torch: Torch, compiler: Compiler | None, no_compiler: str | None
) -> str | None:
    failure = cache.failure(torch)
    if failure is not None and (compiler is None or failure.compiler == compiler.identity):
        return failure.reason
    return no_compiler or "the next `aimatrix monitor` builds it"


def _state(library: Library | None, cache: Cache | None, torch: Torch | None) -> State:
    if library:
        return State.READY
    failed = cache is not None and torch is not None and cache.failure(torch) is not None
    return State.FAILED if failed else State.NOT_BUILT
