"""A run's windows share a file an hour, and whatever happens in between no row is lost or twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.store import run_log, schema
from aimatrix.store.run_log import RunLog
from aimatrix.store.workload import WorkloadStore

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALL = OpCall.create("elementwise", "relu", {"inputs": [(1, 64, 7, 7)]})
MINUTE = timedelta(minutes=1)


def window(start: datetime, calls: int = 1) -> list[WorkloadRecord]:
    return [WorkloadRecord(CALL, "aten::relu", "shop", "host", start, 60.0, calls)]


def pair(start: datetime) -> list[PairRecord]:
    return [PairRecord(CALL, CALL, "shop", "host", start, 60.0, 1)]


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def calls(root: Path) -> int:
    return sum(record.calls for record in WorkloadStore(root).totals())


def test_windows_of_an_hour_share_a_file_and_keep_apart_in_it(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for minute in range(90):
        log.append(window(NOON + minute * MINUTE))
        assert calls(tmp_path) == minute + 1
    assert len(files(tmp_path)) == 2
    starts = [
        row["window_start"] for path in files(tmp_path) for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(starts) == [NOON + minute * MINUTE for minute in range(90)]
    until = NOON + 30 * MINUTE
    assert WorkloadStore(tmp_path).totals(until=until)[0].calls == 30


def test_pairs_have_one_more_file_an_hour(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for minute in range(90):
        log.append(window(NOON + minute * MINUTE), pair(NOON + minute * MINUTE))
    assert len(files(tmp_path)) == 4
    assert calls(tmp_path) == 90
    assert [each.calls for each in WorkloadStore(tmp_path).pairs()] == [90]


def test_midnight_begins_a_file_of_the_next_date(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for minute in (-2, -1, 0, 1):
        log.append(window(datetime(2026, 3, 5, tzinfo=UTC) + minute * MINUTE))
    assert [path.parent.name for path in files(tmp_path)] == ["date=2026-03-04", "date=2026-03-05"]


def test_a_batch_over_several_hours_is_logged(tmp_path: Path) -> None:
    RunLog(tmp_path).append(window(NOON) + window(NOON + 120 * MINUTE))
    RunLog(tmp_path).append([])
    assert calls(tmp_path) == 2


def test_a_clock_that_is_set_back_counts_nothing_twice(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for minute in (0, 1, -90, -89, 0, 1):
        log.append(window(NOON + minute * MINUTE))
    assert calls(tmp_path) == 6


def test_a_large_file_grows_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "FULL", 3)
    log = RunLog(tmp_path)
    for minute in range(7):
        log.append(window(NOON + minute * MINUTE))
    assert sorted(pq.read_table(path).num_rows for path in files(tmp_path)) == [1, 3, 3]


def test_a_file_that_others_moved_or_merged_is_not_written_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.append(window(NOON, 1))
    [path] = files(tmp_path)
    merged = path.with_name("merged.parquet")
    path.rename(merged)
    log.append(window(NOON + MINUTE, 2))
    assert calls(tmp_path) == 3
    [own] = [path for path in files(tmp_path) if path != merged]
    pq.write_table(schema.to_table(window(NOON, 40)), own)  # another's rows under our name
    log.append(window(NOON + 2 * MINUTE, 4))
    assert calls(tmp_path) == 1 + 40 + 4


def test_a_window_that_cannot_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path)
    log.append(window(NOON, 1))
    [path] = files(tmp_path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(InputError, match="cannot be written: No space left"):
            log.append(window(NOON + MINUTE, 2))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    log.append(window(NOON + MINUTE, 2))
    assert files(tmp_path) == [path]
    assert calls(tmp_path) == 3


def test_what_a_kill_leaves_of_a_write_is_no_data_and_no_hindrance(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.append(window(NOON, 1))
    [path] = files(tmp_path)
    path.with_name(f".{path.name}.tmp").write_bytes(b"half a file")
    assert calls(tmp_path) == 1
    log.append(window(NOON + MINUTE, 2))
    assert calls(tmp_path) == 3
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_runs_at_the_same_time_do_not_touch_each_others_files(tmp_path: Path) -> None:
    logs = [RunLog(tmp_path) for _ in range(3)]
    for minute in range(5):
        for log in logs:
            log.append(window(NOON + minute * MINUTE))
    assert len(files(tmp_path)) == 3
    assert calls(tmp_path) == 15


def test_a_record_that_no_reader_would_take_is_refused_and_costs_no_other(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.append(window(NOON))
    with pytest.raises(InputError, match="column calls: 0 is outside"):
        log.append([replace(window(NOON)[0], calls=0)])
    log.append(window(NOON))
    assert calls(tmp_path) == 2
