"""Hands on what a run has counted, window by window, and tells of failures once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aimatrix.dialects.raw import RawCall
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.spool import OVERFLOW
from aimatrix.monitoring.spool_reader import SpoolReader, State

#: share of a window; one that has less left when it would begin is passed over for the next. A
#: wait may end a little before the clock says so: else it would be waited for again and again
_REST = 0.01


@dataclass(frozen=True, slots=True)
class WindowCount:
    """How often a process made a call in a time window.

    window_start: UTC, a multiple of window_seconds since the epoch. estimated_calls: how many of
    ``calls`` are an estimate from sampling. time_ns: what all of them took on the host, None where
    it was not measured. producers: whose outputs they took, and how many of ``calls`` took them.
    """

    raw: RawCall
    calls: int
    window_start: datetime
    window_seconds: float
    estimated_calls: int = 0
    time_ns: int | None = None
    producers: tuple[tuple[RawCall, float], ...] = ()


OnWindow = Callable[[list[WindowCount]], None]


class Delivery:
    """Hands on the counts of one spool, those of a window as soon as it has ended.

    The clock names a window and says how long it is to last when it begins; that time is then
    measured with another one, which nobody sets. So a clock that is set back or forth makes a
    window of another name, and neither a long wait nor none.

    ``failure``: why the last attempt failed; empty when it went well.
    """

    def __init__(
        self,
        spool: Path,
        window_seconds: float,
        on_window: OnWindow,
        state: State = State.RUNS,
    ) -> None:
        self._reader = SpoolReader(spool, state)
        self._window_seconds = window_seconds
        self._on_window = on_window
        self._begin_window()
        self.failure = ""

    def seconds_left(self) -> float:
        """Seconds to the end of the window."""
        return max(self._window_end - time.monotonic(), 0.0)

    def end_window(self) -> None:
        """Hand on what the window counted, and begin the next; a failure is told once."""
        before = self.failure
        self.end_run()
        if self.failure not in ("", before):
            notice(f"what was counted could not be handed on, and is kept: {self.failure}")
        self._begin_window()

    def end_run(self) -> None:
        """Hand on what the last window counted; a failure is for the caller to tell."""
        try:
            self._deliver()
        except Exception as error:
            self.failure = str(error) or repr(error)
        else:
            self.failure = self.damage

    def deliver_late(self, written: float) -> int:
        """Hand on all that is left, in the window of the time ``written``; how many calls.

        What ``on_window`` raises is passed on.
        """
        self._window_start = self._aligned(written)
        return self._deliver()

    @property
    def all_ended(self) -> bool:
        """Whether no process is left that may count on."""
        return self._reader.all_ended

    @property
    def damage(self) -> str:
        """Why some of the counts could not be read, and stay; empty when all could."""
        return "; ".join(self._reader.damaged)

    def _begin_window(self) -> None:
        now = time.time()
        start = self._aligned(now)
        left = start + self._window_seconds - now
        if left < _REST * self._window_seconds:
            start, left = start + self._window_seconds, left + self._window_seconds
        self._window_start = start
        self._window_end = time.monotonic() + left

    def _deliver(self) -> int:
        start = datetime.fromtimestamp(self._window_start, UTC)
        counts = [
            WindowCount(
                delta.raw,
                delta.calls,
                start,
                self._window_seconds,
                delta.estimated_calls,
                delta.time_ns,
                delta.producers,
            )
            for delta in self._reader.read()
        ]
        if counts:
            self._on_window(counts)
        self._reader.delivered()
        overflow = sum(count.calls for count in counts if count.raw.name == OVERFLOW["name"])
        if overflow:
            notice(f"{overflow} calls were counted without their shapes, which were too many")
        return sum(count.calls for count in counts)

    def _aligned(self, seconds: float) -> float:
        return seconds // self._window_seconds * self._window_seconds
