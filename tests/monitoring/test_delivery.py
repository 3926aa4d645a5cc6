"""Windows of a run: by the clock when it is right, and safe from one that is set."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from aimatrix.monitoring import WindowCount, delivery
from aimatrix.monitoring.agent.spool import SpoolTally
from aimatrix.monitoring.delivery import Delivery

DESCRIPTION = {"name": "aten::x", "overload": "", "phase": "forward", "arguments": {}}
MINUTE = 60.0
NOON = 1_770_000_000.0 // MINUTE * MINUTE


class Run:
    """A process that counts, its delivery, and the clocks that both go by."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.uptime = NOON + 12.0, 1000.0
        self.delivered: list[WindowCount] = []
        self.tally = SpoolTally(str(folder), 8)
        self.slot = self.tally.open(lambda: DESCRIPTION)
        self.waits: list[float] = []

    def begin(self, folder: Path) -> None:
        self.delivery = Delivery(folder, MINUTE, self.delivered.extend)

    def count(self, calls: int) -> None:
        for _ in range(calls):
            self.tally.add(self.slot)

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        self.uptime += seconds

    def end_window(self, early: float = 0.0) -> None:
        """Wait as the launcher does; ``early``: by how much the clock is behind then."""
        left = self.delivery.seconds_left()
        self.waits.append(left)
        self.pass_time(left)
        self.clock -= early
        self.delivery.end_window()

    @property
    def rows(self) -> list[tuple[float, int]]:
        return [
            ((count.window_start.timestamp() - NOON) / MINUTE, count.calls)
            for count in self.delivered
        ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(tmp_path)
    clocks = SimpleNamespace(time=lambda: run.clock, monotonic=lambda: run.uptime)
    monkeypatch.setattr(delivery, "time", clocks)
    run.begin(tmp_path)
    return run


def test_windows_follow_the_clock(run: Run) -> None:
    for calls in (3, 4):
        run.count(calls)
        run.end_window()
    assert run.rows == [(0, 3), (1, 4)]
    assert run.waits == [48.0, 60.0]


def test_a_window_in_which_nothing_is_counted_writes_nothing(run: Run, tmp_path: Path) -> None:
    run.count(1)
    run.end_window()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for _ in range(5):
        run.end_window()
    assert run.rows == [(0, 1)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_clock_that_is_set_back_neither_stalls_nor_loses_nor_counts_twice(run: Run) -> None:
    run.count(1)
    run.end_window()
    run.count(2)
    run.clock -= 3 * 3600
    run.end_window()
    run.count(4)
    run.end_window()
    run.count(8)
    run.end_window()
    assert sum(calls for _, calls in run.rows) == 15
    # what was counted before and after the jump is in the window that had begun before it
    assert run.rows == [(0, 1), (1, 2), (-179 + 1, 4), (-179 + 2, 8)]
    assert all(0 < wait <= MINUTE for wait in run.waits)


def test_a_clock_that_is_set_forth_or_a_suspended_machine_goes_on_with_the_new_time(
    run: Run,
) -> None:
    run.count(1)
    run.clock += 8 * 3600  # while the machine is suspended only this one goes on
    run.end_window()
    run.count(2)
    run.end_window()
    assert run.rows == [(0, 1), (481, 2)]
    assert all(0 < wait <= MINUTE for wait in run.waits)


@pytest.mark.parametrize("early", [0.0005, 0.3])
def test_a_clock_that_is_a_little_behind_makes_no_window_twice(run: Run, early: float) -> None:
    for _ in range(4):
        run.count(1)
        run.end_window(early)
    assert [start for start, _ in run.rows] == [0, 1, 2, 3]


def test_a_clock_that_stands_still_is_not_waited_for_without_end(run: Run) -> None:
    for _ in range(100):
        left = run.delivery.seconds_left()
        run.waits.append(left)
        run.uptime += left
        run.delivery.end_window()
    assert min(run.waits) > 0.01 * MINUTE


def test_what_could_not_be_handed_on_comes_once_and_in_a_later_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(counts: list[WindowCount]) -> None:
        raise OSError(28, "No space left on device")

    run.delivery = Delivery(tmp_path, MINUTE, full)
    run.count(1)
    run.end_window()
    run.end_window()
    assert len(capfd.readouterr().err.splitlines()) == 1
    monkeypatch.setattr(run.delivery, "_on_window", run.delivered.extend)
    run.count(2)
    run.end_window()
    run.end_window()
    assert run.rows == [(2, 3)]


def test_a_run_that_waits_by_the_real_clocks_ends_its_window_in_time(tmp_path: Path) -> None:
    real = Delivery(tmp_path, 3600.0, lambda counts: None)
    assert 0 < real.seconds_left() <= 3636 - time.time() % 3600
