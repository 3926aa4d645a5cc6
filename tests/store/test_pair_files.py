"""Producers and consumers in a store: what is appended comes back, beside the log and apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.store import pair_schema
from aimatrix.store.workload import WorkloadStore

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
RELU = OpCall.create("elementwise", "relu", {"inputs": [(1, 64, 7, 7)]})
LINEAR = OpCall.create("matmul", "linear", {"m": 2, "bias": True}, dtype="bfloat16")
CALLS = [WorkloadRecord(RELU, "aten::relu", "shop", "host1", NOON, 60.0, 3)]


def pair(**changes: object) -> PairRecord:
    return replace(PairRecord(LINEAR, RELU, "shop", "host1", NOON, 60.0, 3), **changes)


@pytest.fixture
def store(tmp_path: Path) -> WorkloadStore:
    return WorkloadStore(tmp_path / "store")


def write(store: WorkloadStore, table: pa.Table) -> Path:
    """A file as another program could have written it."""
    path = store.root / "date=2026-03-04" / "pairs-foreign.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def test_windows_are_added_up_and_the_two_ways_kept_apart(store: WorkloadStore) -> None:
    later = NOON + timedelta(days=1)
    back = pair(producer=RELU, consumer=LINEAR, calls=5)
    store.append_pairs([pair(), back])
    store.append_pairs([pair(calls=4, window_start=later)])
    whole = pair(calls=7, window_seconds=86460.0)
    found = store.pairs()
    assert sorted(found, key=lambda each: each.calls) == [back, whole]
    assert store.pairs(since=later) == [pair(calls=4, window_start=later)]
    assert store.pairs(app="bank*") == []


def test_the_log_and_the_pairs_do_not_see_each_other(store: WorkloadStore) -> None:
    store.append(CALLS)
    assert store.pairs() == []
    store.append(CALLS, [pair()])
    assert store.pairs() == [pair()]
    assert [record.calls for record in store.totals()] == [6]


def test_pairs_alone_are_no_log(store: WorkloadStore) -> None:
    store.append_pairs([pair()])
    with pytest.raises(InputError, match="the store is empty"):
        store.totals()


def test_a_store_that_is_not_there_is_named(store: WorkloadStore) -> None:
    with pytest.raises(InputError, match="no such store"):
        store.pairs()


def test_both_are_written_or_none(store: WorkloadStore) -> None:
    with pytest.raises(InputError, match="column calls"):
        store.append(CALLS, [pair(calls=0)])
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("calls", -1, "column calls: -1 is outside"),
        ("consumer_kind", None, "column consumer_kind: a value is missing"),
        ("producer_phase", "sideways", "column producer_phase: 'sideways' is none of"),
        ("consumer_attributes", '{"a": 1.5}', "column consumer_attributes: a is '1.5'"),
        ("window_seconds", 0.0, "column window_seconds: 0 is outside"),
    ],
)
def test_hostile_values_are_named(
    store: WorkloadStore, column: str, value: object, message: str
) -> None:
    good = pair_schema.to_table([pair()])
    index = good.schema.get_field_index(column)
    field = pa.field(column, good.schema.field(index).type)
    path = write(store, good.set_column(index, field, pa.array([value], field.type)))
    with pytest.raises(InputError, match=message) as caught:
        store.pairs()
    assert str(path) in str(caught.value)


def test_a_damaged_or_newer_file_is_named(store: WorkloadStore) -> None:
    good = pair_schema.to_table([pair()])
    newer = {**good.schema.metadata, b"aimatrix.schema_version": b"2"}
    path = write(store, good.replace_schema_metadata(newer))
    with pytest.raises(InputError, match=r"schema_version: 2 is newer than 1"):
        store.pairs()
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged"):
        store.pairs()


def test_a_column_of_tomorrow_is_left_aside(store: WorkloadStore) -> None:
    write(store, pair_schema.to_table([pair()]).append_column("bytes", pa.array([1.0])))
    assert store.pairs() == [pair()]
