"""The workload log as tables, schema version 1, and the way from records to tables and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC

import pyarrow as pa
import pyarrow.compute as pc

from aimatrix.errors import InputError
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store.table_kind import FIRST, LARGEST, Calls, TableKind, call_columns, call_fields

_FAMILY, _KIND, *_REST = call_fields()


class _Log(TableKind):
    def check(self, table: pa.Table, origin: str) -> None:
        super().check(table, origin)
        if pc.any(pc.greater(table["estimated_calls"], table["calls"])).as_py():
            raise InputError(f"{origin}: column estimated_calls: is larger than calls")


LOG = _Log(
    name="aimatrix.workload",
    version=1,
    prefix="",
    fields=(
        *FIRST,
        _FAMILY,
        _KIND,
        pa.field("name", pa.string(), nullable=False),
        *_REST,
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("estimated_calls", pa.int64(), nullable=False),
        pa.field("time_ns", pa.int64()),
        pa.field("warps", pa.int64()),
    ),
    summed=("calls", "estimated_calls", "time_ns"),
    later={"estimated_calls": 0},
    ranges={
        "calls": (1, LARGEST),
        "estimated_calls": (0, LARGEST),
        "time_ns": (0, LARGEST),
        "warps": (1, LARGEST),
    },
)


def to_table(records: Sequence[WorkloadRecord]) -> pa.Table:
    """Records as a table of `LOG`. Raises InputError for values that no reader would take."""
    own = [each.name for each in fields(WorkloadRecord) if each.name in LOG.names]
    columns = {name: [getattr(record, name) for record in records] for name in own}
    return LOG.table({**columns, **call_columns([record.call for record in records])})


def to_records(table: pa.Table) -> list[WorkloadRecord]:
    """The rows of a checked table as records; equal calls share one object."""
    calls = Calls()
    return [
        WorkloadRecord(
            call=calls.of(row),
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
        for row in table.to_pylist()
    ]
