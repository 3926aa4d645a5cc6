"""Adds up the calls of a trace, with the warps of the kernels that they launched.

Warps of a kernel are those of its grid: blocks x ceil(threads of a block / 32). An operator's are
those of all kernels that it or anything below it launched; copies and fills by the driver are no
kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.imported import Imported, TracedCall
from aimatrix.importers.json_stream import ListStream
from aimatrix.importers.kineto.arguments import Arguments
from aimatrix.importers.kineto.events import Events, Range, TooManyEventsError
from aimatrix.importers.kineto.ranges import nest
from aimatrix.importers.kineto.signatures import Signatures, read_signatures
from aimatrix.importers.schemas import SchemaLookup, installed_schemas

_MEND = "record it again with export_chrome_trace"


@dataclass(frozen=True, slots=True)
class Trace:
    """What a trace tells of operators.

    kernels: all of them. unplaced_kernels: launched by no operator (CUDA graphs, libraries).
    odd_events: passed over, since they lack what their kind has. unread: outermost calls of which
    only the name could be read.
    """

    calls: list[TracedCall]
    kernels: int
    unplaced_kernels: int
    odd_events: int
    unread: int


def read_calls(
    path: Path,
    attributes: Mapping[str, Sequence[str]],
    schemas: SchemaLookup = installed_schemas,
) -> Imported:
    """The outermost operators of a trace file, gzipped or not, with measured warps.

    attributes: operator name -> arguments besides tensors to keep. The trace needs
    ``record_shapes=True``. Raises InputError for a file that is no whole trace, or a larger one
    than is sensible.
    """
    trace = read(path, schemas, attributes)
    warnings = []
    if trace.unread:
        warnings.append(
            f"of {trace.unread} calls only the name could be read; record with record_shapes=True"
        )
    if trace.unplaced_kernels:
        warnings.append(
            f"{trace.unplaced_kernels} of {trace.kernels} kernels were launched by no"
            " operator, and are not counted"
        )
    outermost = [call for call in trace.calls if call.outermost]
    return Imported(outermost, warnings, trace.odd_events)


def read(
    path: Path, schemas: SchemaLookup, attributes: Mapping[str, Sequence[str]], device: str = "cuda"
) -> Trace:
    """Read a trace file, gzipped or not.

    attributes: operator name -> arguments besides tensors to keep. device: what the tensors of an
    operator that gave a GPU work are on; those of others count as on the CPU, for a trace does
    not tell. Raises InputError for a file that is no whole trace, or a larger one than is sensible.
    """
    stream = ListStream(path, "traceEvents", "torch.profiler trace", _MEND)
    try:
        trace = read_events(stream, schemas, attributes, device)
    except TooManyEventsError as error:
        raise InputError(
            f"{path}: holds more events than are read at once; record fewer steps"
        ) from error
    if not stream.found:
        raise InputError(
            f"{path}: has no traceEvents; record a trace with torch.profiler and"
            " export_chrome_trace"
        )
    return trace


def read_events(
    events: Iterable[Any],
    schemas: SchemaLookup,
    attributes: Mapping[str, Sequence[str]],
    device: str = "cuda",
) -> Trace:
    """As `read`, of the events in such a file."""
    kept = Events.of(events)
    ranges, unplaced = nest(kept)
    arguments = Arguments(schemas, attributes)
    calls, unread = _calls(ranges, arguments, device)
    return Trace(calls, kept.kernels, unplaced, kept.odd, unread)


def _calls(ranges: list[Range], arguments: Arguments, device: str) -> tuple[list[TracedCall], int]:
    """The calls added up, and how many outermost ones are known by name alone."""
    signatures = read_signatures(ranges, arguments)
    counted: Counter[tuple[Any, ...]] = Counter()
    unread = 0
    for found, outermost in _operators(ranges, signatures):
        overload, items = signatures.get(found, ("", ()))
        unread += found not in signatures
        on = device if found.work else "cpu"
        placed = tuple((name, _on_device(value, on)) for name, value in items)
        warps = found.warps if found.kernels and not found.lost_kernels else None
        counted[found.name, overload, found.phase, placed, warps, outermost] += 1
    return [
        TracedCall(RawCall(name, dict(items), overload, phase), calls, warps, outermost)
        for (name, overload, phase, items, warps, outermost), calls in counted.items()
    ], unread


#: operators that are not the work of the one that calls them
_READS_OF_NUMBERS = ("aten::item", "aten::_local_scalar_dense")


def _operators(ranges: list[Range], signatures: Signatures) -> Iterator[tuple[Range, bool]]:
    """The operators that count, and whether each is an outermost one.

    What cannot be read is seen through, to the operators that it calls; with none of those it
    counts by its name.
    """
    readable_below: set[Range] = set()
    for found in reversed(ranges):
        tells = found in signatures and found.name not in _READS_OF_NUMBERS
        if found.parent is not None and (tells or found in readable_below):
            readable_below.add(found.parent)
    covered: set[Range] = set()  # counted, or inside what is
    for found in ranges:
        inside = found.parent in covered
        counts = found.is_operator and (found in signatures or found not in readable_below)
        if inside or counts:
            covered.add(found)
        if counts and not inside:
            yield found, True
        elif found in signatures and found.kernels:
            yield found, False


def _on_device(value: Any, device: str) -> Any:
    if isinstance(value, TensorArg):
        return replace(value, device=device)
    return tuple(_on_device(item, device) for item in value) if isinstance(value, tuple) else value
