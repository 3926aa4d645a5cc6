"""Producers and consumers as tables, schema version 1, and the way from records and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC

import pyarrow as pa

from aimatrix.model.workload import PairRecord
from aimatrix.store.table_kind import FIRST, LARGEST, Calls, TableKind, call_columns, call_fields

_PRODUCER, _CONSUMER = "producer_", "consumer_"

PAIRS = TableKind(
    name="aimatrix.pairs",
    version=1,
    prefix="pairs-",
    fields=(
        *FIRST,
        *call_fields(_PRODUCER),
        *call_fields(_CONSUMER),
        pa.field("calls", pa.int64(), nullable=False),
    ),
    summed=("calls",),
    calls=(_PRODUCER, _CONSUMER),
    ranges={"calls": (1, LARGEST)},
)


def to_table(records: Sequence[PairRecord]) -> pa.Table:
    """Records as a table of `PAIRS`. Raises InputError for values that no reader would take."""
    own = [each.name for each in fields(PairRecord) if each.name in PAIRS.names]
    columns = {name: [getattr(record, name) for record in records] for name in own}
    producers = call_columns([record.producer for record in records], _PRODUCER)
    consumers = call_columns([record.consumer for record in records], _CONSUMER)
    return PAIRS.table({**columns, **producers, **consumers})


def to_records(table: pa.Table) -> list[PairRecord]:
    """The rows of a checked table as records; equal calls share one object."""
    calls = Calls()
    return [
        PairRecord(
            producer=calls.of(row, _PRODUCER),
            consumer=calls.of(row, _CONSUMER),
            app=row["app"],
            host=row["host"],
            window_start=row["window_start"].astimezone(UTC),
            window_seconds=row["window_seconds"],
            calls=row["calls"],
            source=row["source"],
        )
        for row in table.to_pylist()
    ]
