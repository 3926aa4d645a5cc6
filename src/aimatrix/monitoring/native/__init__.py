"""The native library that counts operators: built for a torch once, tested, kept, and found."""

from aimatrix.monitoring.native.cache import BuildError, Library, Notes, cache_folder
from aimatrix.monitoring.native.compiler import SOURCES, digest
from aimatrix.monitoring.native.diagnosis import Diagnosis, State, diagnose
from aimatrix.monitoring.native.interpreter import Interpreter, Torch
from aimatrix.monitoring.native.provision import Unavailable, ensure

__all__ = [
    "SOURCES",
    "BuildError",
    "Diagnosis",
    "Interpreter",
    "Library",
    "Notes",
    "State",
    "Torch",
    "Unavailable",
    "cache_folder",
    "diagnose",
    "digest",
    "ensure",
]
