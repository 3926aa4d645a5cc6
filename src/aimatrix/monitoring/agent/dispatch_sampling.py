"""Holds what the dispatch mode costs under a budget: all calls while they fit, else samples.

Exact first: what counting costs goes into a debt, from which the budget's share of the time is
taken off. When the debt is more than the allowance, sampling begins: windows in which every call
counts, and gaps between them, of random lengths. In a gap the mode is off the thread's stack, for
any mode costs an operator some 4 us. A call in a window stands also for the calls of the gap before
it: for as many as the gap took longer than the window. It counts at once as one, and at the
window's end as the others, so that a killed process has all that it had seen.

A thread of ours ends gaps and windows. It reads the watched thread's processor time, and has
Python run the change there (`alarm`), between two steps of its code. In some places
(in a backward pass, in one long operator, while something is traced) the stack cannot be changed.
What cannot be cut must have the same chance to be in a window as anything else. So a gap that is
to end in such a place goes on for another random time; and only time in which the window might
have ended makes up its length, which is looked at in short slices.

Times are processor times of the watched thread, in ns, so that waiting is no gap; own times are
those less what counting took (`own_time`). Only the main thread runs pending calls: other threads
stay exact.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from _thread import get_ident
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import mode_stack
from .alarm import Alarm
from .capture import EstimatingTally
from .failures import is_ours
from .notice import notice
from .own_time import Meter, OwnTime, Stretch
from .windows import SLICE, Windows

#: Every call counts; so it does until the mode can come off for the first gap; then estimates
EXACT, LAST_EXACT, GAP, WINDOW = range(4)
#: calls between looks at the clock, while every call counts
BLOCK = 4096


@dataclass(frozen=True)
class Budget:
    """What counting may take.

    share: of the application's time. allowance: seconds beyond that before sampling begins.
    """

    share: float
    allowance: float


class Sampler:
    """Decides when the mode of the main thread is on, and whether its calls are estimates."""

    def __init__(self, budget: Budget, tally: EstimatingTally) -> None:
        self._budget = budget
        self.tally = tally
        self.meter = Meter()
        self.thread = 0  # the watched one
        self._mode: Any = None
        self._own_time = OwnTime(self.meter)
        self._alarm = Alarm(self._own_time, self._when_due)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._state = EXACT
        self._windows = Windows(self._budget.share, 1.0, self.tally)
        self._debt = 0.0
        self._look_at = self.meter.calls + BLOCK if self.thread else sys.maxsize
        self._own_time.restart()

    # ---- for the capture

    def start(self, mode: Any) -> None:
        """Hold the budget in this thread, if that can be done here; else every call counts."""
        if get_ident() != threading.main_thread().ident or not _can_sample():
            return
        self._mode = mode
        self.thread = get_ident()
        self._begin_anew()
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork)
        atexit.register(self.stop)

    def stop(self) -> None:
        """End sampling; the last window stands for what has come after it too."""
        self._alarm.end()
        if self._state != EXACT and get_ident() == self.thread:
            if self._state == GAP:
                self._windows.pass_gap(self._own_time.of(self._own_time.passed()))
            self._windows.stand_for_gap()
        self._begin_anew()

    def reset_after_fork(self) -> None:
        """In a forked child every call counts again, until that costs too much here too."""
        was_sampling = self._state != EXACT
        self._alarm.reset_after_fork()
        self._begin_anew()
        if not was_sampling or get_ident() != self.thread:
            return
        try:
            if mode_stack.is_quiet():
                mode_stack.put_at_bottom(self._mode)
            elif not mode_stack.is_on(self._mode):
                self._begin_sampling(GAP, 1.0)  # the mode comes back with the first window
        except Exception as error:
            self._fail(error)

    def _before_fork(self) -> None:
        # Python warns who forks beside other threads; and a child has no use for half of one
        self._alarm.end()

    def _after_fork(self) -> None:
        if self._state != EXACT:
            try:
                self._alarm.begin(self.thread)
            except Exception as error:
                self._fail(error)

    # ---- for the mode, at each call

    @property
    def is_exact(self) -> bool:
        """Whether every call counts."""
        return self._state == EXACT

    def count(self, slot: int) -> object:
        """Count a call. What this returns has to live until the handler's frame ends."""
        state = self._state
        if state == EXACT:
            self.tally.add(slot)
            if self.meter.calls >= self._look_at:
                self._look()
            return None
        if state == WINDOW:
            self._windows.add(slot)
        elif state == GAP:  # a stack that torch has kept from an earlier window
            self.tally.add_estimate(slot, 1.0)
        else:
            self.tally.add(slot)
        # Our mode is off the stack while its handler runs, and comes back right after: no moment
        # for a change. This lives in the handler's frame. When that has ended, C code has the
        # change run at Python's next step, which is the application's.
        if self._alarm.due is None or get_ident() != self.thread:
            return None
        return self._alarm.ring_when_dropped()

    def _look(self) -> None:
        """See what counting has cost since the last look, and whether that is too much."""
        if get_ident() != self.thread:
            return
        try:
            passed = self._own_time.passed()
            own = self._own_time.of(passed)
            cost, allowed = passed.taken - own, self._budget.share * own
            self._debt = max(self._debt + cost - allowed, 0.0)
            self._look_at = self.meter.calls + BLOCK
            self._own_time.restart()
            if self._debt > 1e9 * self._budget.allowance and cost > allowed:
                self._begin_sampling(LAST_EXACT, cost / own)
        except Exception as error:
            if not is_ours(error):
                raise
            self._fail(error)

    # ---- windows and gaps, in the watched thread

    def _begin_sampling(self, state: int, slowdown: float) -> None:
        self._state, self._windows = state, Windows(self._budget.share, slowdown, self.tally)
        self._alarm.set(SLICE)
        self._alarm.begin(self.thread)

    def _when_due(self, due: float) -> None:
        try:
            if self._state != EXACT and get_ident() == self.thread:
                self._end_if_quiet(due)
        except Exception as error:
            if not is_ours(error):
                raise
            self._fail(error)

    def _end_if_quiet(self, due: float) -> None:
        """End the slice or gap, if the stack can be changed here; else that is tried again."""
        if not mode_stack.is_quiet():
            return
        is_on = mode_stack.is_on(self._mode)
        if is_on and self._state == GAP:
            # torch restores whole stacks at times: what it brought back goes off again
            mode_stack.take_off(self._mode)
        elif is_on and self._state == WINDOW:
            self._end_slice(self._own_time.passed(), due)
        elif is_on:
            self._begin_gap()
        elif self._state == GAP:
            self._end_gap(self._own_time.passed(), due)

    def _end_gap(self, passed: Stretch, due: float) -> None:
        self._own_time.learn_free(passed)
        own = self._own_time.of(passed)
        self._windows.pass_gap(own)
        if own - due < SLICE:
            mode_stack.put_at_bottom(self._mode)
            self._state = WINDOW
            self._alarm.set(SLICE, self._windows.slowdown())
        else:
            self._alarm.set(self._windows.draw_gap())

    def _end_slice(self, passed: Stretch, due: float) -> None:
        self._own_time.learn_counted(passed)
        own = self._own_time.of(passed)
        if not self._windows.pass_slice(due, own, passed.taken - own):
            self._alarm.set(SLICE, self._windows.slowdown())
            return
        self._windows.close()
        if self._windows.slowdown() < self._budget.share / 2:
            self._alarm.end()  # every call counts again
            self._begin_anew()
        else:
            self._begin_gap()

    def _begin_gap(self) -> None:
        mode_stack.take_off(self._mode)
        self._state = GAP
        self._alarm.set(self._windows.draw_gap())

    def _fail(self, error: Exception) -> None:
        """Sample no more: every call counts, or none where the mode cannot come back."""
        self._begin_anew()
        self._look_at = sys.maxsize
        with suppress(Exception):
            self._alarm.end()
            if mode_stack.is_quiet():
                mode_stack.put_at_bottom(self._mode)
        notice(f"this process's calls are sampled no more: {error!r}")


def _can_sample() -> bool:
    """Whether another thread's time can be read here, and pending calls run under a lock."""
    is_locked: Any = getattr(sys, "_is_gil_enabled", None)
    return hasattr(time, "pthread_getcpuclockid") and (is_locked is None or bool(is_locked()))
