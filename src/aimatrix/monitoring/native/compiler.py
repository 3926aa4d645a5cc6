"""Finds a C++ compiler and has it make one shared library of our sources against a torch."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aimatrix.monitoring.native.cache import BuildError
from aimatrix.monitoring.native.interpreter import Torch
from aimatrix.monitoring.processes import run

#: the C++ sources of the capture, beside this file
SOURCES = Path(__file__).parent
#: seconds that a compiler may take
PATIENCE = 180.0

_NAMES = ("c++", "g++", "clang++")
_STANDARDS = ("c++20", "c++17")
# NDEBUG changes the layout of torch's RecordFunction: without it the application would crash
_FLAGS = ("-O2", "-DNDEBUG", "-shared", "-fPIC")
_LIBRARIES = ("-ltorch_cpu", "-lc10")
#: characters of a compiler's words that are told
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler as it is called, its file and options, and what tells it from an older one."""

    words: tuple[str, ...]
    name: str
    identity: str


def find_compiler(environment: Mapping[str, str]) -> Compiler:
    """The compiler that CXX names, else the first usual one; BuildError when there is none."""
    search = environment.get("PATH")
    named = _words(environment.get("CXX", ""))
    for words in [named] if named else [[name] for name in _NAMES]:
        program = shutil.which(words[0], path=search)
        if program is not None:
            real = os.path.realpath(program)
            status = os.stat(real)
            name = shlex.join([real, *words[1:]])
            identity = f"{name} of {status.st_size} bytes and {status.st_mtime_ns}"
            return Compiler((program, *words[1:]), name, identity)
    if named:
        raise BuildError(f"CXX names a compiler that is not there: {shlex.join(named)}")
    raise BuildError("there is no C++ compiler; install g++ or clang++, or name one with CXX")


def digest(sources: Path) -> str:
    """What tells these sources, and how they are built, from others."""
    content = hashlib.sha256(repr((_FLAGS, _LIBRARIES, _STANDARDS)).encode())
    for path in sorted([*sources.glob("*.cpp"), *sources.glob("*.h")]):
        text = path.read_bytes()
        content.update(f"{path.name} {len(text)}\n".encode() + text)
    return content.hexdigest()[:12]


def compile_library(
    compiler: Compiler,
    sources: Path,
    torch: Torch,
    abi: str,
    output: Path,
    environment: Mapping[str, str],
) -> str:
    """Build ``output`` from all ``*.cpp`` in ``sources``; return the flags.

    Raises BuildError when the compiler does not do it.
    """
    files = sorted(str(path) for path in sources.glob("*.cpp"))
    include = torch.folder / "include"
    if not (include / "ATen" / "record_function.h").is_file():
        raise BuildError(f"{torch.folder}: this torch has come without its C++ headers")
    flags = [
        f"-std={_standard(compiler, environment)}",
        *_FLAGS,
        f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
    ]
    headers = [f"-I{include}", f"-I{include / 'torch' / 'csrc' / 'api' / 'include'}"]
    links = [f"-L{torch.folder / 'lib'}", *_LIBRARIES]
    words = [*compiler.words, *flags, *headers, *files, "-o", str(output), *links]
    try:
        ended = run(words, environment=environment, timeout=PATIENCE)
    except OSError as error:
        raise BuildError(f"{compiler.words[0]}: cannot be started: {error.strerror}") from error
    if ended.code is None:
        raise BuildError(f"{compiler.name}: had not compiled it after {PATIENCE:.0f} s")
    if ended.code != 0 or not output.is_file():
        raise BuildError(f"{compiler.name}: cannot compile it: {_complaint(ended.err)}")
    output.chmod(0o600)
    return shlex.join([*flags, *_LIBRARIES])


def _words(named: str) -> list[str]:
    try:
        return shlex.split(named)
    except ValueError as error:
        raise BuildError(f"CXX is no command: {named!r}") from error


def _standard(compiler: Compiler, environment: Mapping[str, str]) -> str:
    """The newest standard that the compiler knows, of those that torch's headers take."""
    for standard in _STANDARDS[:-1]:
        words = [*compiler.words, f"-std={standard}", "-fsyntax-only", "-x", "c++", os.devnull]
        try:
            if run(words, environment=environment, timeout=PATIENCE).code == 0:
                return standard
        except OSError:
            break  # the compilation says so
    return _STANDARDS[-1]


def _complaint(text: str) -> str:
    """The first error among a compiler's words; what comes after it is mostly of its making."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return next(iter(errors or lines[-1:]), "it gives no reason")[:_LONGEST]
