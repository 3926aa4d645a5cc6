"""Reads traces of torch.profiler (Kineto's Chrome JSON): operators and the warps they launched.

`events` takes in what matters of a file, `ranges` finds who ran inside of whom and who launched
what, `arguments` reads an operator's inputs, `trace` adds up the calls. What the format has and
lacks, and how kernels are joined to operators, is in `docs/monitoring.md`, "Measured warps".
"""

from __future__ import annotations

from aimatrix.importers.imported import TracedCall
from aimatrix.importers.kineto.trace import Trace, read, read_calls, read_events
from aimatrix.importers.schemas import Schema, SchemaLookup, installed_schemas, stored_schemas

__all__ = [
    "Schema",
    "SchemaLookup",
    "Trace",
    "TracedCall",
    "installed_schemas",
    "read",
    "read_calls",
    "read_events",
    "stored_schemas",
]
