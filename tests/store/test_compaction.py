"""Compaction and pruning: every row once at any moment, whoever is killed, whoever writes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aimatrix
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.store import compaction, files, schema
from aimatrix.store.run_log import RunLog
from aimatrix.store.schema import LOG
from aimatrix.store.workload import WorkloadStore

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALL = OpCall.create("elementwise", "relu", {"inputs": [(1, 64, 7, 7)]})
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LONG_AGO = 10 * compaction.SETTLED


def record(number: int, start: datetime = NOON, app: str = "shop") -> WorkloadRecord:
    """Told from others by its host; a sum of calls alone would not show two faults that cancel."""
    return WorkloadRecord(CALL, "aten::relu", app, f"host{number}", start, 60.0, 1)


def append(root: Path, *numbers: int, start: datetime = NOON) -> None:
    for number in numbers:
        WorkloadStore(root).append([record(number, start)], [pair(number, start)])


def pair(number: int, start: datetime = NOON) -> PairRecord:
    return PairRecord(CALL, CALL, "shop", f"host{number}", start, 60.0, 1)


def found(root: Path) -> Counter[str]:
    return Counter({each.host: each.calls for each in WorkloadStore(root).totals()})


def once(*numbers: int) -> Counter[str]:
    return Counter(f"host{number}" for number in numbers)


def parquet(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def age(path: Path) -> None:
    """As if nobody had touched it for hours."""
    then = time.time() - LONG_AGO
    os.utime(path, (then, then))


def test_many_files_become_one_of_each_kind_and_date(tmp_path: Path) -> None:
    append(tmp_path, *range(20))
    append(tmp_path, 20, 21, start=NOON + DAY)
    before = WorkloadStore(tmp_path).totals()
    done = aimatrix.store.compact(tmp_path)
    assert (done.files_before, done.files_after, done.rows) == (44, 4, 44)
    assert len(parquet(tmp_path)) == 4
    assert WorkloadStore(tmp_path).totals() == before
    assert len(WorkloadStore(tmp_path).pairs()) == 22


def test_there_is_nothing_more_to_do_then(tmp_path: Path) -> None:
    append(tmp_path, 1, 2, 3)
    aimatrix.store.compact(tmp_path)
    paths = parquet(tmp_path)
    assert aimatrix.store.compact(tmp_path) == compaction.Compacted()
    assert parquet(tmp_path) == paths


def test_of_a_period_only_its_dates_are_touched(tmp_path: Path) -> None:
    for day in range(3):
        append(tmp_path, 1, 2, start=NOON + day * DAY)
    aimatrix.store.compact(tmp_path, NOON + DAY - MINUTE, NOON + DAY + MINUTE)
    counts = Counter(path.parent.name for path in parquet(tmp_path))
    assert counts == {"date=2026-03-04": 4, "date=2026-03-05": 2, "date=2026-03-06": 4}


def test_other_tools_find_every_row_once(tmp_path: Path) -> None:
    append(tmp_path, *range(5))
    aimatrix.store.compact(tmp_path)
    table = pyarrow.dataset.dataset(tmp_path, partitioning="hive", exclude_invalid_files=True)
    hosts = table.to_table(
        columns=["host", "family"], filter=pyarrow.dataset.field("family").is_valid()
    )
    assert sorted(hosts["host"].to_pylist()) == sorted(once(*range(5)))


def test_large_files_are_left_and_no_file_gets_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FULL", 10)
    store = WorkloadStore(tmp_path)
    store.append([record(number) for number in range(6)])
    for number in range(6, 30):
        store.append([record(number)])
    aimatrix.store.compact(tmp_path)
    rows = sorted(pq.read_metadata(path).num_rows for path in parquet(tmp_path))
    assert rows == [4, 6, 10, 10]
    assert found(tmp_path) == once(*range(30))


def test_rows_are_as_they_were(tmp_path: Path) -> None:
    times = [NOON + minute * MINUTE for minute in range(50)]
    for start in times:
        WorkloadStore(tmp_path).append([replace(record(0, start), time_ns=7, warps=3)])
    before = sorted(map(str, _rows(tmp_path)))
    aimatrix.store.compact(tmp_path)
    assert sorted(map(str, _rows(tmp_path))) == before


def _rows(root: Path) -> list[dict[str, Any]]:
    return [row for path in parquet(root) for row in pq.read_table(path).to_pylist()]


def test_files_of_older_versions_get_the_columns_of_this_one(tmp_path: Path) -> None:
    append(tmp_path, 1)
    old = schema.to_table([record(2)]).drop_columns(["estimated_calls"])
    pq.write_table(old, tmp_path / "date=2026-03-04" / "old.parquet")
    aimatrix.store.compact(tmp_path)
    (path,) = (path for path in parquet(tmp_path) if not path.name.startswith("pairs-"))
    assert pq.read_schema(path).names == LOG.names
    assert found(tmp_path) == once(1, 2)


@pytest.mark.parametrize("killed_at", ["rename", "unlink", "write"])
def test_a_compaction_that_is_killed_leaves_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    append(tmp_path, *range(6))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed_at == "rename":
            patch.setattr(compaction.os, "replace", die)
        elif killed_at == "unlink":
            patch.setattr(Path, "unlink", die)
        else:
            patch.setattr(compaction.pq.ParquetWriter, "write_table", die)
        with pytest.raises(KeyboardInterrupt):
            aimatrix.store.compact(tmp_path)
    assert found(tmp_path) == once(*range(6))
    append(tmp_path, 6)
    aimatrix.store.compact(tmp_path)
    assert found(tmp_path) == once(*range(7))
    assert len(parquet(tmp_path)) == 2


def test_what_was_replaced_does_not_come_back_when_its_replacement_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, 1, 2)
    with monkeypatch.context() as patch:
        # two compactions that remove nothing, as if each had been killed just before
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        aimatrix.store.compact(tmp_path)
        append(tmp_path, 3)
        aimatrix.store.compact(tmp_path)
    assert found(tmp_path) == once(1, 2, 3)
    for path in parquet(tmp_path):  # the first replacement is removed, what it had replaced is not
        if path.name.startswith(files.COMPACT) and len(files.replaces(path)) == 2:
            path.unlink()
            break
    assert found(tmp_path) == once(1, 2, 3)


def test_a_file_that_may_grow_is_left_until_it_has_settled(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.append([record(1)])
    append(tmp_path, 2, 3)
    done = aimatrix.store.compact(tmp_path)
    assert done.growing == 1
    log.append([record(4, NOON + MINUTE)])
    assert found(tmp_path) == once(1, 2, 3, 4)
    for path in parquet(tmp_path):
        age(path)
    assert aimatrix.store.compact(tmp_path).growing == 0
    log.append([record(5, NOON + 2 * MINUTE)])
    assert found(tmp_path) == once(1, 2, 3, 4, 5)


def test_what_a_writer_adds_to_a_file_that_is_replaced_meanwhile_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that slept for hours between looking at its file and replacing it."""
    log = RunLog(tmp_path)
    log.append([record(1)])
    append(tmp_path, 2)
    for path in parquet(tmp_path):
        age(path)
    put = WorkloadStore.put

    def late(self: WorkloadStore, tables: Any) -> None:
        aimatrix.store.compact(tmp_path)
        put(self, tables)

    with monkeypatch.context() as patch:
        patch.setattr(WorkloadStore, "put", late)
        log.append([record(3, NOON + MINUTE)])
    assert found(tmp_path) == once(1, 2, 3)
    for path in parquet(tmp_path):
        age(path)
    aimatrix.store.compact(tmp_path)
    assert found(tmp_path) == once(1, 2, 3)


def test_two_compactors_do_not_meet(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    with (
        compaction._alone(tmp_path),
        pytest.raises(InputError, match="is being compacted by another process"),
    ):
        aimatrix.store.compact(tmp_path)
    aimatrix.store.compact(tmp_path)


def test_a_file_that_cannot_be_read_stops_it_by_name_and_loses_nothing(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    bad = tmp_path / "date=2026-03-04" / "bad.parquet"
    bad.write_bytes(b"PAR1 is not all")
    with pytest.raises(InputError, match=r"bad\.parquet: is damaged"):
        aimatrix.store.compact(tmp_path)
    bad.unlink()
    assert found(tmp_path) == once(1, 2)


@pytest.mark.parametrize("text", ["[1]", "{", '{"../../x.parquet": 3}', '{"a.parquet": "b"}', "7"])
def test_a_file_that_says_strange_things_of_others_replaces_none(tmp_path: Path, text: str) -> None:
    append(tmp_path / "store", 1)
    outside = tmp_path / "x.parquet"
    outside.write_bytes(b"precious")
    folder = tmp_path / "store" / "date=2026-03-04"
    table = schema.to_table([record(2)])
    metadata = {**table.schema.metadata, files.REPLACES: text.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "compact-1.parquet")
    assert found(tmp_path / "store") == once(1, 2)
    aimatrix.store.compact(tmp_path / "store")
    assert found(tmp_path / "store") == once(1, 2)
    assert outside.read_bytes() == b"precious"


def test_a_file_that_another_program_removes_meanwhile_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, 1, 2)
    groups = compaction._groups

    def late(tables: Any) -> Any:
        for path in parquet(tmp_path):
            path.unlink()
        return groups(tables)

    monkeypatch.setattr(compaction, "_groups", late)
    with pytest.raises(InputError, match="was removed by another program; compact again"):
        aimatrix.store.compact(tmp_path)


def test_what_a_crash_left_is_removed_after_a_day(tmp_path: Path) -> None:
    append(tmp_path, 1)
    old, new = (tmp_path / "date=2026-03-04" / f".{name}.parquet.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    then = time.time() - 2 * compaction.ABANDONED
    os.utime(old, (then, then))
    aimatrix.store.compact(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_pruning_removes_what_starts_before_a_moment_and_nothing_else(tmp_path: Path) -> None:
    for day in range(3):
        append(tmp_path, 10 * day, start=NOON + day * DAY)
        append(tmp_path, 10 * day + 1, start=NOON + day * DAY + MINUTE)
    aimatrix.store.compact(tmp_path)
    done = aimatrix.store.prune(tmp_path, NOON + DAY + MINUTE)
    assert done.rows == 6
    assert found(tmp_path) == once(11, 20, 21)
    assert {path.parent.name for path in parquet(tmp_path)} == {
        "date=2026-03-05",
        "date=2026-03-06",
    }
    assert not (tmp_path / "date=2026-03-04").exists()
    assert len(WorkloadStore(tmp_path).pairs()) == 3


def test_pruning_a_replacement_brings_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that has grown since it was replaced, only what it has more was data."""
    append(tmp_path, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        aimatrix.store.compact(tmp_path)
    grown = next(path for path in parquet(tmp_path) if "-" not in path.name)
    table = pq.read_table(grown)
    later = schema.to_table([record(3, NOON + 9 * MINUTE)])
    pq.write_table(pa.concat_tables([table, later]), grown)
    assert found(tmp_path) == once(1, 2, 3)
    aimatrix.store.prune(tmp_path, NOON + MINUTE)
    assert found(tmp_path) == once(3)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["append", "grow", "compact", "age", "prune"]), st.integers(0, 90)
        ),
        max_size=12,
    )
)
def test_whatever_is_done_in_whatever_order(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store")
    log, expected, pruned = RunLog(root), {}, NOON
    for number, (step, minute) in enumerate(steps):
        start = NOON + minute * MINUTE
        if step in ("append", "grow"):
            (log if step == "grow" else WorkloadStore(root)).append([record(number, start)])
            expected[f"host{number}"] = start
        elif step == "age":
            for path in parquet(root):
                age(path)
        elif any(root.iterdir()):
            if step == "compact":
                aimatrix.store.compact(root)
            else:
                for path in parquet(root):
                    age(path)
                aimatrix.store.prune(root, start)
                pruned = max(pruned, start)
                expected = {host: at for host, at in expected.items() if at >= start}
    held = found(root) if expected else Counter()
    assert held == Counter(expected.keys())


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from test_compaction import record
from aimatrix.store.workload import WorkloadStore
root, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    WorkloadStore(root).append([record(number)])
    print(number, flush=True)
"""
COMPACTOR = """
import sys, aimatrix
while True:
    try:
        aimatrix.store.compact(sys.argv[1])
    except aimatrix.errors.InputError as error:
        assert "no such store" in str(error), error
"""


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_writers_a_compactor_and_readers_at_once(tmp_path: Path) -> None:
    """What a writer has said to be in the log is found by everyone from then on, once."""
    root, here = tmp_path / "store", Path(__file__).parent
    append(root, 0)
    writers = [run(WRITER, root, 100 * k, 20, here) for k in range(1, 5)]
    compactor = run(COMPACTOR, root)
    reads = 0
    while any(writer.poll() is None for writer in writers) or reads < 5:
        held = found(root)
        assert set(held.values()) == {1}
        reads += 1
    compactor.kill()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert "Error" not in compactor.communicate()[1]
    assert found(root) == once(0, *(100 * k + n for k in range(1, 5) for n in range(20)))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_killed_writers_and_compactors_lose_nothing(tmp_path: Path) -> None:
    root, here = tmp_path / "store", Path(__file__).parent
    append(root, 0)
    rng = random.Random(0)
    said: set[int] = {0}
    for turn in range(1, 6):
        writer, compactor = run(WRITER, root, 1000 * turn, 500, here), run(COMPACTOR, root)
        assert writer.stdout is not None
        said.add(int(writer.stdout.readline()))
        time.sleep(0.3 * rng.random())
        for process in (writer, compactor):
            process.kill()
        said |= set(map(int, writer.communicate()[0].split()))
        compactor.communicate()
        held = found(root)
        assert set(held.values()) == {1}
        assert held.keys() >= once(*said).keys()
    aimatrix.store.compact(root)
    assert set(found(root).values()) == {1}
    assert found(root).keys() >= once(*said).keys()


def test_info_tells_what_there_is(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    WorkloadStore(tmp_path).append([record(3, NOON + DAY, app="search")])
    strange = OpCall.create("unknown", "mine::op", {})
    WorkloadStore(tmp_path).append([replace(record(3, NOON), call=strange, name="mine::op")])
    told = aimatrix.store.info(tmp_path)
    assert (told.rows, told.pair_rows, told.files, told.dates) == (4, 2, 6, 2)
    assert (told.calls, told.unknown_calls) == (4, 1)
    assert (told.first, told.last) == (NOON, NOON + DAY + MINUTE)
    assert [(each.name, each.rows) for each in told.applications] == [("shop", 3), ("search", 1)]
    aimatrix.store.compact(tmp_path)
    after = aimatrix.store.info(tmp_path)
    assert after.files == 3
    assert replace(after, files=0, bytes=0) == replace(told, files=0, bytes=0)


def test_the_verbs_tell_it_in_words_and_in_json(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)

    def told(*words: str) -> str:
        command = [sys.executable, "-m", "aimatrix", "store", *words, "--store", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "2 rows and 2 of pairs in 4 files" in told("info")
    assert json.loads(told("compact", "--json"))["files_after"] == 2
    assert "4 rows and 2 files are gone" in told("prune", "--before", "2026-03-05T00:00+00:00")
    assert json.loads(told("info", "--json"))["rows"] == 0


@pytest.mark.parametrize("verb", ["compact", "info"])
def test_a_store_that_is_not_there_is_named(tmp_path: Path, verb: str) -> None:
    with pytest.raises(InputError, match="no such store"):
        getattr(aimatrix.store, verb)(tmp_path / "nowhere")


def test_a_reader_that_meets_a_compaction_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, *range(4))
    load, loads = files.load, []

    def slow(part: files.Part, kind: Any) -> Any:
        loads.append(part)
        if len(loads) == 2:
            monkeypatch.setattr(files, "load", load)
            aimatrix.store.compact(tmp_path)
        return load(part, kind)

    monkeypatch.setattr(files, "load", slow)
    assert found(tmp_path) == once(*range(4))
