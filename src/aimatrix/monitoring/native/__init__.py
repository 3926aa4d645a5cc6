"""The native library that counts operators: built for a torch once, tested, kept, and found."""

from aimatrix.monitoring.native.cache import BuildError, Cache, Library, Notes, cache_folder
from aimatrix.monitoring.native.compiler import SOURCES, Compiler, digest, find_compiler
from aimatrix.monitoring.native.ensure import Unavailable, build, ensure, find
from aimatrix.monitoring.native.interpreter import Interpreter, Torch, find_interpreter, probe

__all__ = [
    "SOURCES",
    "BuildError",
    "Cache",
    "Compiler",
    "Interpreter",
    "Library",
    "Notes",
    "Torch",
    "Unavailable",
    "build",
    "cache_folder",
    "digest",
    "ensure",
    "find",
    "find_compiler",
    "find_interpreter",
    "probe",
]
