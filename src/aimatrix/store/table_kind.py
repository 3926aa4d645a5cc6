"""What all kinds of tables in a store have in common: versions, checks, and adding up.

Values from a file are checked before anything is made of them: a log may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aimatrix.errors import InputError
from aimatrix.model.calls import PHASES, OpCall, attributes_from_json
from aimatrix.version import VERSION

_NAME_KEY, _VERSION_KEY = b"aimatrix.schema", b"aimatrix.schema_version"

#: what a sum of many rows still holds exactly, in every reader of Parquet
LARGEST = 2**53
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_SHORTEST_WINDOW, _LONGEST_WINDOW = 1e-3, 366 * 86400.0

#: the columns with which every kind begins
FIRST = (
    pa.field("window_start", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("window_seconds", pa.float64(), nullable=False),
    pa.field("app", pa.string(), nullable=False),
    pa.field("host", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
)
#: the columns of an operator call
CALL = ("family", "kind", "attributes", "dtype", "phase", "device")


@dataclass(frozen=True)
class TableKind:
    """A kind of table: how its files are called inside and out, and what is in them.

    prefix: with which the names of its files begin. summed: columns that are added up where all
    others are equal, besides the window. calls: prefixes of the columns of operator calls. later:
    columns that files of this version may lack, and what each of their rows holds then. ranges:
    column -> smallest and largest value.
    """

    name: str
    version: int
    prefix: str
    fields: tuple[pa.Field, ...]
    summed: tuple[str, ...]
    calls: tuple[str, ...] = ("",)
    later: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """The columns, and the metadata of a file."""
        metadata = {
            _NAME_KEY: self.name.encode(),
            _VERSION_KEY: str(self.version).encode(),
            b"aimatrix.version": VERSION.encode(),
        }
        return pa.schema(self.fields, metadata=metadata)

    @property
    def names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [each.name for each in self.fields]

    def version_of(self, metadata: dict[bytes, bytes] | None) -> int | None:
        """The schema version that a Parquet file states; None when it is not of this kind."""
        stated = metadata or {}
        if stated.get(_NAME_KEY) != self.name.encode():
            return None
        text = stated.get(_VERSION_KEY, b"")
        return int(text) if text.isdigit() else None

    def table(self, columns: dict[str, list[Any]]) -> pa.Table:
        """A table of this kind. Raises InputError for values that no reader would take."""
        for start in columns["window_start"]:
            if start.tzinfo is None:
                raise InputError(f"column window_start: {start} has no time zone")
        try:
            table = pa.table(columns, schema=self.schema)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise InputError(f"records: a value does not fit its column: {error}") from error
        self.check(table, "records")
        return table

    def check_columns(self, found: pa.Schema, origin: str) -> None:
        """Raise InputError, naming ``origin`` and the column, for one that lacks or misfits."""
        for each in self.fields:
            index = found.get_field_index(each.name)
            if index < 0 and each.name in self.later:
                continue
            if index < 0:
                raise InputError(f"{origin}: column {each.name}: is missing; write the file again")
            if found.field(index).type != each.type:
                raise InputError(
                    f"{origin}: column {each.name}: is of type {found.field(index).type}, not"
                    f" {each.type}; write the file again"
                )

    def complete(self, table: pa.Table) -> pa.Table:
        """A table as read from a file, columns in order and those that it lacks filled in."""
        for name, value in self.later.items():
            if name not in table.column_names:
                kind = self.schema.field(name).type
                table = table.append_column(name, pa.repeat(pa.scalar(value, kind), table.num_rows))
        return table.select(self.names)

    def check(self, table: pa.Table, origin: str) -> None:
        """Raise InputError, naming ``origin`` and the column, unless all values can be used."""
        for each in self.fields:
            if not each.nullable and table[each.name].null_count:
                raise InputError(f"{origin}: column {each.name}: a value is missing")
        for name, (low, high) in self.ranges.items():
            _check_range(table, origin, name, low, high)
        _check_range(table, origin, "window_seconds", _SHORTEST_WINDOW, _LONGEST_WINDOW)
        _check_range(table, origin, "window_start", _EARLIEST, _LATEST)
        for prefix in self.calls:
            _check_call(table, origin, prefix)

    def reduce(self, tables: Iterable[pa.Table]) -> pa.Table:
        """Rows that are equal but for window and sums as one row each, sorted.

        Its window spans theirs. Rows whose value is null are added up by themselves.
        """
        # file by file first, so that no more than one file's rows are held at a time
        return self._reduced([self._reduced([table]) for table in tables])

    def _reduced(self, tables: list[pa.Table]) -> pa.Table:
        table = pa.concat_tables(tables)
        table = table.append_column("end", window_ends(table))
        equal = [n for n in self.names if n not in ("window_start", "window_seconds", *self.summed)]
        apart = [n for n in self.summed if self.schema.field(n).nullable]
        for name in apart:
            table = table.append_column(f"no_{name}", pc.is_null(table[name]))
        sums = table.group_by([*equal, *(f"no_{name}" for name in apart)]).aggregate(
            [("window_start", "min"), ("end", "max"), *((name, "sum") for name in self.summed)]
        )
        start, end = (sums[name].cast(pa.int64()) for name in ("window_start_min", "end_max"))
        columns = {
            **{name: sums[name] for name in equal},
            **{name: sums[f"{name}_sum"] for name in self.summed},
            "window_start": sums["window_start_min"],
            "window_seconds": pc.divide(pc.subtract(end, start).cast(pa.float64()), 1e6),
        }
        ordered = pa.table({name: columns[name] for name in self.names}, schema=self.schema)
        # the order of groups is not defined; the same log is to give the same profile
        return ordered.sort_by([(name, "ascending") for name in [*equal, "window_start"]])


def call_fields(prefix: str = "") -> tuple[pa.Field, ...]:
    """The columns of an operator call, their names after ``prefix``."""
    return tuple(pa.field(prefix + name, pa.string(), nullable=False) for name in CALL)


def call_columns(calls: Sequence[OpCall], prefix: str = "") -> dict[str, list[Any]]:
    """Operator calls as columns."""
    return {
        prefix + name: [
            call.attributes_json() if name == "attributes" else getattr(call, name)
            for call in calls
        ]
        for name in CALL
    }


class Calls:
    """Makes the operator calls of checked rows; equal ones share one object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], OpCall] = {}

    def of(self, row: Mapping[str, Any], prefix: str = "") -> OpCall:
        """The call in the columns after ``prefix``."""
        key = tuple(row[prefix + name] for name in CALL)
        if key not in self._known:
            family, kind, attributes, dtype, phase, device = key
            self._known[key] = OpCall.create(
                family, kind, _attributes(attributes), dtype=dtype, phase=phase, device=device
            )
        return self._known[key]


def window_ends(table: pa.Table) -> pa.ChunkedArray:
    """The end of each row's window."""
    return pc.add(table["window_start"], _duration(table["window_seconds"]))


def check_window(seconds: float) -> None:
    """Raise InputError unless a store has room for windows of this length."""
    if not _SHORTEST_WINDOW <= seconds <= _LONGEST_WINDOW:
        raise InputError(
            f"a window of {seconds:g} seconds: it has to be at least {_SHORTEST_WINDOW:g} seconds"
            f" and at most {_LONGEST_WINDOW / 86400:g} days long"
        )


def _check_range(table: pa.Table, origin: str, name: str, low: Any, high: Any) -> None:
    values = table[name]
    kind = values.type
    inside = pc.and_(
        pc.greater_equal(values, pa.scalar(low, kind)), pc.less_equal(values, pa.scalar(high, kind))
    )
    if pc.all(inside).as_py() is False:
        wrong = values.filter(pc.invert(inside))[0].cast(pa.string()).as_py()
        raise InputError(f"{origin}: column {name}: {wrong} is outside {low} to {high}")


def _check_call(table: pa.Table, origin: str, prefix: str) -> None:
    for phase in pc.unique(table[f"{prefix}phase"]).to_pylist():
        if phase not in PHASES:
            raise InputError(
                f"{origin}: column {prefix}phase: {phase!r} is none of"
                f" {', '.join(map(repr, PHASES))}"
            )
    for text in pc.unique(table[f"{prefix}attributes"]).to_pylist():
        try:
            _attributes(text)
        except InputError as error:
            raise InputError(f"{origin}: column {prefix}attributes: {error}") from error


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


def _duration(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    microseconds = pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64())
    return microseconds.cast(pa.duration("us"))
