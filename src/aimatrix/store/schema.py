"""The workload log as tables: schema version 1, and the way from records to tables and back.

Values from a file are checked before anything is made of them: a log may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aimatrix.errors import InputError
from aimatrix.model.calls import PHASES, OpCall, attributes_from_json
from aimatrix.model.workload import WorkloadRecord
from aimatrix.version import VERSION

NAME = "aimatrix.workload"
SCHEMA_VERSION = 1

#: columns that files of this version may lack, and what each of their rows holds then
LATER = {"estimated_calls": 0}

_NAME_KEY, _VERSION_KEY = b"aimatrix.schema", b"aimatrix.schema_version"

SCHEMA = pa.schema(
    [
        pa.field("window_start", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("window_seconds", pa.float64(), nullable=False),
        pa.field("app", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("attributes", pa.string(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("estimated_calls", pa.int64(), nullable=False),
        pa.field("time_ns", pa.int64()),
        pa.field("warps", pa.int64()),
    ],
    metadata={
        _NAME_KEY: NAME.encode(),
        _VERSION_KEY: str(SCHEMA_VERSION).encode(),
        b"aimatrix.version": VERSION.encode(),
    },
)

# what a sum of many rows still holds exactly, in every reader of Parquet
_LARGEST = 2**53
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_SHORTEST_WINDOW, _LONGEST_WINDOW = 1e-3, 366 * 86400.0


def version_of(metadata: dict[bytes, bytes] | None) -> int | None:
    """The schema version that a Parquet file states; None when it is no workload log."""
    stated = metadata or {}
    if stated.get(_NAME_KEY) != NAME.encode():
        return None
    text = stated.get(_VERSION_KEY, b"")
    return int(text) if text.isdigit() else None


def to_table(records: Sequence[WorkloadRecord]) -> pa.Table:
    """Records as a table of `SCHEMA`. Raises InputError for values that no reader would take."""
    for record in records:
        if record.window_start.tzinfo is None:
            raise InputError(f"column window_start: {record.window_start} has no time zone")
    columns: dict[str, list[Any]] = {
        "window_start": [record.window_start for record in records],
        "window_seconds": [record.window_seconds for record in records],
        "app": [record.app for record in records],
        "host": [record.host for record in records],
        "source": [record.source for record in records],
        "family": [record.call.family for record in records],
        "kind": [record.call.kind for record in records],
        "name": [record.name for record in records],
        "attributes": [record.call.attributes_json() for record in records],
        "dtype": [record.call.dtype for record in records],
        "phase": [record.call.phase for record in records],
        "device": [record.call.device for record in records],
        "calls": [record.calls for record in records],
        "estimated_calls": [record.estimated_calls for record in records],
        "time_ns": [record.time_ns for record in records],
        "warps": [record.warps for record in records],
    }
    try:
        table = pa.table(columns, schema=SCHEMA)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"records: a value does not fit its column: {error}") from error
    check(table, "records")
    return table


def complete(table: pa.Table) -> pa.Table:
    """A table as read from a file, with the columns in order and those that it lacks filled in."""
    for name, value in LATER.items():
        if name not in table.column_names:
            kind = SCHEMA.field(name).type
            table = table.append_column(name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table.select(SCHEMA.names)


def check_window(seconds: float) -> None:
    """Raise InputError unless the log has room for windows of this length."""
    if not _SHORTEST_WINDOW <= seconds <= _LONGEST_WINDOW:
        raise InputError(
            f"a window of {seconds:g} seconds: it has to be at least {_SHORTEST_WINDOW:g} seconds"
            f" and at most {_LONGEST_WINDOW / 86400:g} days long"
        )


def check(table: pa.Table, origin: str) -> None:
    """Raise InputError, naming ``origin`` and the column, unless all values can be used."""
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise InputError(f"{origin}: column {field.name}: a value is missing")
    _check_range(table, origin, "calls", 1, _LARGEST)
    _check_range(table, origin, "estimated_calls", 0, _LARGEST)
    if pc.any(pc.greater(table["estimated_calls"], table["calls"])).as_py():
        raise InputError(f"{origin}: column estimated_calls: is larger than calls")
    _check_range(table, origin, "time_ns", 0, _LARGEST)
    _check_range(table, origin, "warps", 1, _LARGEST)
    _check_range(table, origin, "window_seconds", _SHORTEST_WINDOW, _LONGEST_WINDOW)
    _check_range(table, origin, "window_start", _EARLIEST, _LATEST)
    for phase in pc.unique(table["phase"]).to_pylist():
        if phase not in PHASES:
            raise InputError(
                f"{origin}: column phase: {phase!r} is none of {', '.join(map(repr, PHASES))}"
            )
    for text in pc.unique(table["attributes"]).to_pylist():
        try:
            _attributes(text)
        except InputError as error:
            raise InputError(f"{origin}: column attributes: {error}") from error


def _check_range(table: pa.Table, origin: str, name: str, low: Any, high: Any) -> None:
    kind = SCHEMA.field(name).type
    values = table[name]
    inside = pc.and_(
        pc.greater_equal(values, pa.scalar(low, kind)), pc.less_equal(values, pa.scalar(high, kind))
    )
    if pc.all(inside).as_py() is False:
        wrong = values.filter(pc.invert(inside))[0].cast(pa.string()).as_py()
        raise InputError(f"{origin}: column {name}: {wrong} is outside {low} to {high}")


def _attributes(text: str) -> dict[str, Any]:
    attributes = attributes_from_json(text)
    for name, value in attributes.items():
        if not _is_attribute(value, depth=2):
            raise InputError(f"{name} is {str(value)[:60]!r}, no number, flag, word or shape")
    return attributes


def _is_attribute(value: Any, depth: int) -> bool:
    if isinstance(value, list):
        return depth > 0 and all(_is_attribute(item, depth - 1) for item in value)
    if isinstance(value, int):
        return abs(value) < 2**63
    return value is None or isinstance(value, str)


def to_records(table: pa.Table) -> list[WorkloadRecord]:
    """The rows of a checked table as records; equal calls share one object."""
    calls: dict[tuple[str, ...], OpCall] = {}
    records = []
    for row in table.to_pylist():
        key = tuple(
            row[name] for name in ("family", "kind", "attributes", "dtype", "phase", "device")
        )
        if key not in calls:
            calls[key] = OpCall.create(
                row["family"],
                row["kind"],
                _attributes(row["attributes"]),
                dtype=row["dtype"],
                phase=row["phase"],
                device=row["device"],
            )
        records.append(
            WorkloadRecord(
                call=calls[key],
                name=row["name"],
                app=row["app"],
                host=row["host"],
                window_start=row["window_start"].astimezone(UTC),
                window_seconds=row["window_seconds"],
                calls=row["calls"],
                estimated_calls=row["estimated_calls"],
                source=row["source"],
                time_ns=row["time_ns"],
                warps=row["warps"],
            )
        )
    return records


_SUMMED = ("window_start", "window_seconds", "calls", "estimated_calls", "time_ns")
_KEYS = [name for name in SCHEMA.names if name not in _SUMMED]


def reduce(tables: Iterable[pa.Table]) -> pa.Table:
    """Rows that are equal but for window, calls and time as one row each, sorted.

    Its window spans theirs; calls are added up, and times, separately for rows that have none.
    """
    # file by file first, so that no more than one file's rows are held at a time
    return _reduced([_reduced([table]) for table in tables])


def _reduced(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables)
    ends = pc.add(table["window_start"], _duration(table["window_seconds"]))
    table = table.append_column("end", ends)
    table = table.append_column("untimed", pc.is_null(table["time_ns"]))
    keys = [*_KEYS, "untimed"]
    sums = table.group_by(keys).aggregate(
        [("window_start", "min"), ("end", "max")]
        + [(name, "sum") for name in ("calls", "estimated_calls", "time_ns")]
    )
    seconds = pc.subtract(
        sums["end_max"].cast(pa.int64()), sums["window_start_min"].cast(pa.int64())
    )
    columns = {
        **{name: sums[name] for name in _KEYS},
        "window_start": sums["window_start_min"],
        "window_seconds": pc.divide(seconds.cast(pa.float64()), 1e6),
        "calls": sums["calls_sum"],
        "estimated_calls": sums["estimated_calls_sum"],
        "time_ns": sums["time_ns_sum"],
    }
    ordered = pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)
    # the order of groups is not defined; the same log is to give the same profile
    return ordered.sort_by([(name, "ascending") for name in [*_KEYS, "window_start"]])


def _duration(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    microseconds = pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64())
    return microseconds.cast(pa.duration("us"))
