"""The files that a window of measured warps leaves in the spool, by the ends of their names."""

from __future__ import annotations

#: what torch's profiler recorded, in Kineto's Chrome format; there once it is whole
TRACE = ".trace.json"
#: beside it, written before: schemas of the operators in the trace
SCHEMAS = ".schemas.json"
