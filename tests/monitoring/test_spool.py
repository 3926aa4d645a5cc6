"""The spool between a counting process and its reader."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aimatrix.monitoring.agent.spool import COUNTS, DESCRIPTIONS, SpoolTally
from aimatrix.monitoring.spool_reader import DELIVERED, SpoolReader, State

HOUR, DAY = 3600.0, 86400.0


def describe(name: str) -> dict[str, object]:
    return {"name": name, "overload": "", "phase": "forward", "arguments": {}}


def read(reader: SpoolReader) -> dict[str, int]:
    return {delta.raw.name: delta.calls for delta in reader.read()}


def only(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"*{suffix}")
    return path


def test_counts_are_given_until_they_are_confirmed_and_not_after(tmp_path: Path) -> None:
    tally, reader = SpoolTally(str(tmp_path), 8), SpoolReader(tmp_path)
    assert read(reader) == {}
    a, b = tally.open(lambda: describe("a")), tally.open(lambda: describe("b"))
    tally.add(a)
    assert read(reader) == {"a": 1}
    tally.add(a)
    tally.add(b)
    assert read(reader) == {"a": 2, "b": 1}
    reader.delivered()
    assert read(reader) == {}
    tally.add(b)
    assert read(reader) == {"b": 1}
    assert read(SpoolReader(tmp_path)) == {"b": 1}


def test_no_work_takes_no_slot_and_a_full_table_goes_to_overflow(tmp_path: Path) -> None:
    tally = SpoolTally(str(tmp_path), 3)
    assert tally.open(lambda: None) == -1
    slots = [tally.open(lambda: describe("x")) for _ in range(4)]
    assert slots == [1, 2, 0, 0]
    tally.add(0)
    assert read(SpoolReader(tmp_path)) == {"aimatrix::overflow": 1}


def test_threads_do_not_share_slots_but_leave_them_to_their_successors(tmp_path: Path) -> None:
    tally = SpoolTally(str(tmp_path), 64)
    seen: list[int] = []

    def work() -> None:
        slots = tally.slots()
        if "key" not in slots:
            slots["key"] = tally.open(lambda: describe("x"))
        seen.append(slots["key"])
        tally.add(slots["key"])

    work()
    for _ in range(5):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen[0] not in seen[1:]
    assert len(set(seen[1:])) == 1
    assert sum(delta.calls for delta in SpoolReader(tmp_path).read()) == 6


def test_a_line_that_is_not_whole_yet_waits(tmp_path: Path) -> None:
    tally, reader = SpoolTally(str(tmp_path), 8), SpoolReader(tmp_path)
    tally.add(tally.open(lambda: describe("a")))
    path = only(tmp_path, DESCRIPTIONS)
    with path.open("a") as file:
        file.write('{"slot":2,"name":"b","argu')
    assert read(reader) == {"a": 1}
    with path.open("a") as file:
        file.write('ments":{}}\n')
    tally.add(2)
    assert read(reader) == {"a": 1, "b": 1}


def test_a_damaged_description_does_not_cost_the_count(tmp_path: Path) -> None:
    tally = SpoolTally(str(tmp_path), 8)
    tally.add(tally.open(lambda: describe("a")))
    path = only(tmp_path, DESCRIPTIONS)
    path.write_bytes(b'\xff\n{"slot":1}\n[]\n')
    assert read(SpoolReader(tmp_path)) == {"aimatrix::undescribed": 1}


def test_a_process_that_has_only_just_begun_is_no_error(tmp_path: Path) -> None:
    (tmp_path / f"1-1{COUNTS}").write_bytes(b"")
    (tmp_path / f"2-2{COUNTS}").write_bytes(bytes(200))
    assert read(SpoolReader(tmp_path)) == {}


def test_a_table_of_another_version_is_named(tmp_path: Path) -> None:
    SpoolTally(str(tmp_path), 8).open(lambda: describe("a"))
    path = only(tmp_path, COUNTS)
    content = bytearray(path.read_bytes())
    content[8] = 99
    path.write_bytes(content)
    reader = SpoolReader(tmp_path)
    assert read(reader) == {}
    assert str(path) in reader.damaged[0]
    assert "is not a spool of version 3" in reader.damaged[0]


def test_what_cannot_be_read_stays_and_keeps_nothing_else_back(tmp_path: Path) -> None:
    ended_process(tmp_path)
    path = only(tmp_path, COUNTS)
    good = path.read_bytes()
    reader = SpoolReader(tmp_path, State.GONE)
    damaged = tmp_path / f"1-1{COUNTS}"
    damaged.write_bytes(good[:8] + b"\x63" + good[9:])
    assert sum(read(reader).values()) > 0
    reader.delivered()
    assert damaged.exists()
    assert not path.exists()
    assert not reader.all_ended
    damaged.write_bytes(good)  # another release has mended it
    assert sum(read(reader).values()) > 0
    assert reader.damaged == []


def test_a_reset_tally_begins_with_files_of_its_own(tmp_path: Path) -> None:
    tally = SpoolTally(str(tmp_path), 8)
    tally.slots()["key"] = tally.open(lambda: describe("a"))
    tally.reset()
    assert tally.slots() == {}
    tally.add(tally.open(lambda: describe("b")))
    assert len(list(tmp_path.glob(f"{os.getpid()}-*{COUNTS}"))) == 2
    assert read(SpoolReader(tmp_path)) == {"b": 1}


#: a program that counts 3 calls in a folder
COUNTING = """
import sys
from aimatrix.monitoring.agent.spool import SpoolTally
tally = SpoolTally(sys.argv[1], 8)
describe = lambda: {'name': 'a', 'overload': '', 'phase': 'forward', 'arguments': {}}
slot = tally.open(describe)
for _ in range(3): tally.add(slot)
"""


def ended_process(folder: Path) -> None:
    """Count 3 calls in a process that ends."""
    subprocess.run([sys.executable, "-c", COUNTING, str(folder)], check=True)


def test_files_of_an_ended_process_go_once_they_are_confirmed(tmp_path: Path) -> None:
    ended_process(tmp_path)
    reader = SpoolReader(tmp_path)
    assert read(reader) == {"a": 3}
    assert not reader.all_ended
    assert read(SpoolReader(tmp_path)) == {"a": 3}
    reader.delivered()
    assert reader.all_ended
    assert list(tmp_path.iterdir()) == []
    assert read(reader) == {}


def test_a_process_of_another_container_is_not_taken_for_ended(tmp_path: Path) -> None:
    ended_process(tmp_path)
    path = only(tmp_path, COUNTS)
    content = bytearray(path.read_bytes())
    content[32:40] = (7).to_bytes(8, sys.byteorder)
    path.write_bytes(content)
    reader = SpoolReader(tmp_path)
    assert read(reader) == {"a": 3}
    reader.delivered()
    assert path.exists()
    assert not reader.all_ended
    assert read(SpoolReader(tmp_path)) == {}


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def goes(folder: Path, state: State) -> bool:
    """Whether a reading that is confirmed removes the process's files."""
    reader = SpoolReader(folder, state)
    reader.read()
    reader.delivered()
    return reader.all_ended


def test_files_of_a_left_container_go_once_it_has_counted_nothing_for_a_day(tmp_path: Path) -> None:
    tally = SpoolTally(str(tmp_path), 8)
    slot = tally.open(lambda: describe("a"))
    tally.add(slot)
    path = only(tmp_path, COUNTS)
    with path.open("r+b") as file:
        file.seek(32)
        file.write((7).to_bytes(8, sys.byteorder))
    assert not goes(tmp_path, State.LEFT)
    age(only(tmp_path, DELIVERED), 2 * DAY)
    tally.add(slot)
    assert not goes(tmp_path, State.LEFT)
    age(only(tmp_path, DELIVERED), 2 * DAY)
    assert not goes(tmp_path, State.RUNS)
    assert goes(tmp_path, State.LEFT)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_another_ones_number_is_not_taken_for_it(tmp_path: Path) -> None:
    ended_process(tmp_path)
    path = only(tmp_path, COUNTS)
    with path.open("r+b") as file:
        file.seek(12)
        file.write(os.getpid().to_bytes(4, sys.byteorder))
    assert not goes(tmp_path, State.RUNS)  # it may be about to map its file
    age(path, HOUR)
    assert goes(tmp_path, State.RUNS)


def test_a_process_that_has_mapped_its_counts_is_there_however_long_it_is_quiet(tmp_path) -> None:
    tally = SpoolTally(str(tmp_path), 8)
    slot = tally.open(lambda: describe("a"))
    age(only(tmp_path, COUNTS), 9 * DAY)
    assert not goes(tmp_path, State.LEFT)
    tally.add(slot)
    assert read(SpoolReader(tmp_path)) == {"a": 1}


def test_a_process_that_no_one_has_waited_for_has_ended(tmp_path: Path) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("there is no /proc to tell")
    with subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path)]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert goes(tmp_path, State.RUNS)


@pytest.mark.parametrize(
    ("pid", "old", "state", "gone"),
    [
        ("999999999", 5.0, State.LEFT, False),
        ("999999999", HOUR, State.LEFT, True),
        ("ours", HOUR, State.LEFT, False),
        ("ours", HOUR, State.GONE, True),
        ("ours", 2 * DAY, State.LEFT, True),
        ("no-number", 2 * DAY, State.LEFT, True),
    ],
)
def test_a_file_without_a_header_goes_when_its_process_is_gone(
    tmp_path: Path, pid: str, old: float, state: State, gone: bool
) -> None:
    number = str(os.getpid()) if pid == "ours" else pid
    path = tmp_path / f"{number}-1{COUNTS}"
    path.write_bytes(bytes(200))
    age(path, old)
    assert goes(tmp_path, state) is gone
    assert path.exists() is not gone


@pytest.mark.parametrize("content", ["", "[1, 2", "[[1]]", "3"])
def test_a_damaged_note_of_what_was_handed_on_is_named(tmp_path: Path, content: str) -> None:
    ended_process(tmp_path)
    path = only(tmp_path, COUNTS)
    path.with_name(path.name.replace(COUNTS, DELIVERED)).write_text(content)
    reader = SpoolReader(tmp_path)
    assert read(reader) == {}
    assert ".delivered: is damaged; remove it to have all" in reader.damaged[0]


def test_counts_that_cannot_be_marked_as_confirmed_are_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    tally, reader = SpoolTally(str(tmp_path), 8), SpoolReader(tmp_path)
    tally.add(tally.open(lambda: describe("a")))
    assert read(reader) == {"a": 1}
    monkeypatch.setattr(os, "replace", full)
    reader.delivered()
    assert read(reader) == {}
