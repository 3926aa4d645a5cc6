"""The workload log: what is appended comes back, and a bad file never passes for data."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix.errors import InputError
from aimatrix.model.calls import PHASES, OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store import schema, table_kind
from aimatrix.store.workload import WorkloadStore

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def record(**changes: object) -> WorkloadRecord:
    call = OpCall.create("elementwise", "relu", {"inputs": [(1, 64, 7, 7)]})
    base = WorkloadRecord(call, "aten::relu", "shop", "host1", NOON, 60.0, 3)
    return replace(base, **changes)


@pytest.fixture
def store(tmp_path: Path) -> WorkloadStore:
    return WorkloadStore(tmp_path / "store")


def write_raw(store: WorkloadStore, table: pa.Table) -> Path:
    """A file as another program could have written it."""
    path = store.root / "date=2026-03-04" / "foreign.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
sizes = st.integers(0, 10**6)
attribute = st.one_of(
    sizes, st.booleans(), words, st.none(), st.lists(sizes), st.lists(st.lists(sizes))
)
calls = st.builds(
    OpCall.create,
    words,
    words,
    st.dictionaries(words, attribute, max_size=4),
    dtype=words,
    phase=st.sampled_from(PHASES),
    device=words,
)
records = st.builds(
    lambda calls, estimated, **more: WorkloadRecord(
        calls=calls, estimated_calls=min(calls, estimated), **more
    ),
    estimated=st.just(0) | st.integers(0, 2**53),
    call=calls,
    name=words,
    app=words,
    host=words,
    window_start=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    window_seconds=st.integers(1000, 86_400_000_000).map(lambda microseconds: microseconds / 1e6),
    calls=st.integers(1, 2**53),
    source=words,
    time_ns=st.none() | st.integers(0, 2**53),
    warps=st.none() | st.integers(1, 2**53),
)


def beside_the_window(item: WorkloadRecord) -> object:
    """What tells rows apart that are not added up."""
    timed = None if item.time_ns is None else 0
    return replace(
        item, window_start=NOON, window_seconds=1.0, calls=1, estimated_calls=0, time_ns=timed
    )


@settings(max_examples=40, deadline=None)
@given(batch=st.lists(records, min_size=1, max_size=6, unique_by=beside_the_window))
def test_records_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, batch: list[WorkloadRecord]
) -> None:
    store = WorkloadStore(tmp_path_factory.mktemp("store"))
    store.append(batch)
    assert sorted(store.totals(), key=repr) == sorted(batch, key=repr)


def test_nothing_to_append_makes_no_file(store: WorkloadStore) -> None:
    assert store.append([]) is None
    assert not store.root.exists()


def test_a_batch_over_midnight_makes_one_file_a_utc_date(store: WorkloadStore) -> None:
    late = datetime(2026, 3, 4, 23, 59, tzinfo=UTC)
    store.append([record(window_start=late), record(window_start=late + timedelta(minutes=1))])
    folders = {path.parent.name for path in store.root.glob("*/*.parquet")}
    assert folders == {"date=2026-03-04", "date=2026-03-05"}


def test_since_is_inclusive_and_until_exclusive(store: WorkloadStore) -> None:
    starts = [NOON + timedelta(hours=hours) for hours in (0, 1, 2, 30)]
    calls = [1, 20, 300, 4000]
    store.append(
        [
            record(window_start=start, calls=count)
            for start, count in zip(starts, calls, strict=True)
        ]
    )
    [found] = store.totals(since=starts[1], until=starts[3])
    assert (found.calls, found.window_start) == (20 + 300, starts[1])
    assert [item.calls for item in store.totals(since=starts[3])] == [4000]
    first = store.totals(until=starts[0] + timedelta(microseconds=1))
    assert [item.calls for item in first] == [1]


def test_other_days_are_not_even_opened(store: WorkloadStore) -> None:
    store.append([record()])
    damaged = store.root / "date=2026-03-09" / "x.parquet"
    damaged.parent.mkdir()
    damaged.write_bytes(b"PAR1")
    assert len(store.totals(until=NOON + timedelta(days=1))) == 1


def test_app_is_a_glob(store: WorkloadStore) -> None:
    store.append([record(app=app) for app in ("shop-a", "shop-b", "bank")])
    assert {item.app for item in store.totals(app="shop-*")} == {"shop-a", "shop-b"}


def test_totals_add_up_what_differs_only_in_its_window(store: WorkloadStore) -> None:
    later = NOON + timedelta(days=2)
    store.append([record(calls=3), record(calls=4, warps=10), record(app="bank", calls=5)])
    store.append([record(calls=30, window_start=later), record(calls=1, time_ns=7)])
    store.append([record(calls=1, estimated_calls=1, time_ns=8)])
    totals = {(item.app, item.warps, item.time_ns): item for item in store.totals()}
    assert {key: item.calls for key, item in totals.items()} == {
        ("shop", None, None): 33,
        ("shop", 10, None): 4,
        ("shop", None, 15): 2,
        ("bank", None, None): 5,
    }
    assert totals["shop", None, 15].estimated_calls == 1
    assert totals["shop", None, None].estimated_calls == 0
    merged = totals["shop", None, None]
    assert merged.window_start == NOON
    assert merged.window_seconds == timedelta(days=2, seconds=60).total_seconds()


def test_totals_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    batch = [record(app=f"app{number}") for number in range(5)]
    one, other = WorkloadStore(tmp_path / "one"), WorkloadStore(tmp_path / "other")
    for item in batch:
        one.append([item])
    other.append(batch[::-1])
    assert one.totals() == other.totals()


def test_temporary_and_foreign_files_are_no_data(store: WorkloadStore) -> None:
    path = store.append([record()])
    assert path is not None
    path.with_name(f".{path.name}.tmp").write_bytes(b"half a file")
    path.with_name(".hidden.parquet").write_bytes(b"half a file")
    path.with_name("notes.txt").write_text("mine")
    path.with_name("gone.parquet.bad").write_bytes(b"PAR1")
    write_raw(store, pa.table({"anything": [1, 2]}))
    (store.root / "README.parquet").write_text("in no date's folder")
    (store.root / "date=never").mkdir()
    (store.root / "date=never" / "x.parquet").write_text("no date")
    assert store.totals() == [record()]


def test_a_failed_write_leaves_nothing_behind(
    store: WorkloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(InputError, match=r"store: cannot be written: No space left"):
        store.append([record()])
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/store: cannot be written"):
        WorkloadStore(tmp_path / "file" / "store").append([record()])


def test_a_truncated_file_among_good_ones_is_named_with_the_mend(store: WorkloadStore) -> None:
    store.append([record()])
    path = store.append([record(calls=5)])
    assert path is not None
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"is damaged .* rename it to end in \.bad") as caught:
        store.totals()
    assert str(path) in str(caught.value)
    path.rename(path.with_name(path.name + ".bad"))
    assert store.totals() == [record()]


def test_an_empty_file_and_damaged_pages_are_named(store: WorkloadStore) -> None:
    path = store.append([record(app=f"app{number}") for number in range(1000)])
    assert path is not None
    content = path.read_bytes()
    for damaged in (b"", content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            store.totals()


def test_text_that_is_none_is_damage(store: WorkloadStore) -> None:
    path = store.append([record()])
    assert path is not None
    table = pq.read_table(path)
    names = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(2, table.schema.field("app"), names), path)
    with pytest.raises(InputError, match="is damaged"):
        store.totals()


def test_missing_and_empty_stores_say_how_to_record(store: WorkloadStore) -> None:
    with pytest.raises(InputError, match=r"no such store; record one with: aimatrix monitor"):
        store.totals()
    store.root.mkdir()
    with pytest.raises(InputError, match=r"the store is empty; record one with: aimatrix monitor"):
        store.totals()
    store.root.rmdir()
    store.root.write_text("")
    with pytest.raises(InputError, match="is a file, not a store folder"):
        store.totals()


def test_a_selection_of_nothing_tells_what_there_is(store: WorkloadStore) -> None:
    store.append([record(), record(app="bank", window_start=NOON + timedelta(days=1))])
    with pytest.raises(InputError) as caught:
        store.totals(app="none*")
    message = str(caught.value)
    assert "2026-03-04T12:00:00+00:00 to 2026-03-05T12:00:00+00:00" in message
    assert "'bank', 'shop'" in message


def test_times_without_a_zone_are_refused(store: WorkloadStore) -> None:
    store.append([record()])
    with pytest.raises(InputError, match=r"since: .* has no time zone"):
        store.totals(since=datetime(2026, 1, 1))
    with pytest.raises(InputError, match=r"window_start: .* has no time zone"):
        store.append([record(window_start=datetime(2026, 1, 1))])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("calls", -1, "column calls: -1 is outside"),
        ("calls", 2**60, "column calls: .* is outside"),
        ("calls", None, "column calls: a value is missing"),
        ("estimated_calls", 4, "column estimated_calls: is larger than calls"),
        ("app", None, "column app: a value is missing"),
        ("time_ns", -5, "column time_ns: -5 is outside"),
        ("warps", 0, "column warps: 0 is outside"),
        ("window_seconds", float("nan"), "column window_seconds: nan is outside"),
        ("window_start", 2**62, "column window_start: .* is outside"),
        ("phase", "sideways", "column phase: 'sideways' is none of"),
        ("attributes", "{", "column attributes: .* not JSON"),
        ("attributes", "[1]", "column attributes: .* not a JSON object"),
        ("attributes", '{"a": 1.5}', "column attributes: a is '1.5'"),
        ("attributes", '{"a": {"b": 1}}', "column attributes: a is"),
        ("attributes", "[" * 100_000, "column attributes: .* not JSON"),
    ],
)
def test_hostile_values_are_named(
    store: WorkloadStore, column: str, value: object, message: str
) -> None:
    good = schema.to_table([record()])
    index = good.schema.get_field_index(column)
    field = pa.field(column, good.schema.field(index).type)
    if column == "window_start":
        values = pa.array([value], pa.int64()).cast(field.type)
    else:
        values = pa.array([value], field.type)
    path = write_raw(store, good.set_column(index, field, values))
    with pytest.raises(InputError, match=message) as caught:
        store.totals()
    assert str(path) in str(caught.value)


def test_unknown_families_are_data(store: WorkloadStore) -> None:
    strange = record(call=OpCall.create("of-tomorrow", "x", {}, dtype="float7"))
    store.append([strange])
    assert store.totals() == [strange]


def test_a_newer_schema_and_a_wrong_column_are_named(store: WorkloadStore) -> None:
    good = schema.to_table([record()])
    newer = {**good.schema.metadata, b"aimatrix.schema_version": b"2"}
    write_raw(store, good.replace_schema_metadata(newer))
    with pytest.raises(InputError, match=r"schema_version: 2 is newer than 1.*upgrade"):
        store.totals()
    write_raw(store, good.drop_columns(["host"]))
    with pytest.raises(InputError, match="column host: is missing"):
        store.totals()
    index = good.schema.get_field_index("calls")
    write_raw(store, good.set_column(index, "calls", pa.array(["3"])))
    with pytest.raises(InputError, match="column calls: is of type string, not int64"):
        store.totals()


def test_a_file_from_before_there_were_estimates_has_none(store: WorkloadStore) -> None:
    write_raw(store, schema.to_table([record()]).drop_columns(["estimated_calls"]))
    store.append([record(estimated_calls=2)])
    [found] = store.totals()
    assert (found.calls, found.estimated_calls) == (6, 2)


def test_a_column_of_tomorrow_is_left_aside(store: WorkloadStore) -> None:
    good = schema.to_table([record()])
    write_raw(store, good.append_column("energy", pa.array([1.0])))
    assert store.totals() == [record()]


def append_many(root: Path, writer: int) -> None:
    store = WorkloadStore(root)
    for number in range(10):
        store.append([record(app=f"app{writer}", calls=number + 1)])


def test_many_writers_at_once_lose_nothing(store: WorkloadStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=append_many, args=(store.root, number)) for number in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert {item.app: item.calls for item in store.totals()} == {
        f"app{number}": 55 for number in range(8)
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(store: WorkloadStore) -> None:
    path = store.append([record()])
    assert path is not None
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        store.totals()


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 500 * 86400.0, float("inf"), float("nan")])
def test_a_window_that_no_log_takes_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match=r"at least 0\.001 seconds and at most 366 days"):
        table_kind.check_window(seconds)
    with pytest.raises(InputError):
        schema.to_table([record(window_seconds=seconds)])


@pytest.mark.parametrize("seconds", [0.001, 366 * 86400.0])
def test_the_shortest_and_the_longest_window_are_taken(seconds: float) -> None:
    table_kind.check_window(seconds)
    schema.to_table([record(window_seconds=seconds)])
