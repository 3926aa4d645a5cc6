"""Holds what the dispatch mode costs under a budget: all calls while they fit, else samples.

Exact first: what counting costs goes into a debt, from which the budget's share of the time is
taken off. When the debt is more than the allowance, sampling begins: windows in which every call
counts, and gaps between them, of random lengths. In a gap the mode is off the thread's stack, for
any mode costs an operator some 4 us. A call in a window stands also for the calls of the gap before
it: for as many as the gap took longer than the window. It counts at once as one, and at the
window's end as the others, so that a killed process has all that it had seen.

A thread of ours ends gaps and windows. It reads the watched thread's processor time, and has
Python run the change there (`pending_call`), between two steps of its code. In some places
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
from .capture import EstimatingTally
from .failures import is_ours
from .notice import notice
from .own_thread import OwnThread
from .own_time import Meter, OwnTime, Stretch, until_now
from .pending_call import PendingCall
from .windows import SLICE, Windows

#: Every call counts; so it does until the mode can come off for the first gap; then estimates
EXACT, LAST_EXACT, GAP, WINDOW = range(4)
#: calls between looks at the clock, while every call counts
BLOCK = 4096
#: seconds: before a change is tried again; the longest sleep, while the application waits
_RETRY, _LONGEST_SLEEP = 0.001, 0.1


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
        self._own_time = OwnTime()
        self._pending = PendingCall(self._change)
        self._own_thread = OwnThread()
        self._failed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._state = EXACT
        self._debt = 0.0
        self._look_at = self.meter.calls + BLOCK if self.thread else sys.maxsize
        self._windows = Windows(self._budget.share, 1.0, self.tally)
        self._target = SLICE  # own time after which the slice, or the gap, is to end
        self._due: float | None = None  # own time after which that was found to have come
        self._is_posted = False
        self._begin = self._now()  # of the block, slice or gap

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
        self._own_thread.end()
        if self._state != EXACT and get_ident() == self.thread:
            if self._state == GAP:
                self._windows.pass_gap(self._own(self._passed()))
            self._windows.stand_for_gap()
        self._begin_anew()

    def reset_after_fork(self) -> None:
        """In a forked child every call counts again, until that costs too much here too."""
        was_sampling, self._own_thread = self._state != EXACT, OwnThread()
        self._begin_anew()
        if not was_sampling or get_ident() != self.thread:
            return
        try:
            if mode_stack.is_quiet():
                mode_stack.put_at_bottom(self._mode)
            elif not mode_stack.is_on(self._mode):
                self._begin_sampling(1.0)  # it comes back with the first window
        except Exception as error:
            self._fail(error)

    # ---- for the mode, at each call

    def count(self, slot: int) -> object:
        """Count a call. What this returns has to live until the handler's frame ends."""
        state = self._state
        if state <= LAST_EXACT:
            self.tally.add(slot)
            if state == EXACT:
                if self.meter.calls >= self._look_at:
                    self._look()
                return None
        elif state == WINDOW:
            self._windows.add(slot)
        else:  # a stack that torch has kept from an earlier window
            self.tally.add_estimate(slot, 1.0)
        return self._token() if self._due is not None else None

    def _look(self) -> None:
        """See what counting has cost since the last look, and whether that is too much."""
        if get_ident() != self.thread:
            return
        try:
            passed = self._passed()
            own = self._own(passed)
            cost, allowed = passed.taken - own, self._budget.share * own
            self._debt = max(self._debt + cost - allowed, 0.0)
            self._begin, self._look_at = self._now(), self.meter.calls + BLOCK
            if self._debt > 1e9 * self._budget.allowance and cost > allowed:
                self._begin_sampling(cost / own)
        except Exception as error:
            if not is_ours(error):
                raise
            self._fail(error)

    def _token(self) -> object:
        # Our mode is off the stack while its handler runs, and comes back right after: no moment
        # for a change. This lives in the handler's frame. When that has ended, C code has the
        # change run at Python's next step, which is the application's.
        if get_ident() != self.thread or self._failed:
            return None
        return self._pending.post_when_dropped()

    # ---- windows and gaps, in the watched thread

    def _begin_sampling(self, slowdown: float) -> None:
        self._windows = Windows(self._budget.share, slowdown, self.tally)
        self._begin = self._now()
        self._state = LAST_EXACT
        self._own_thread.begin(self._end_in_time)

    def _change(self) -> None:
        self._is_posted = False
        try:
            due = self._due
            if due is not None and get_ident() == self.thread and not self._failed:
                self._end(due)
        except Exception as error:
            if not is_ours(error):
                raise
            self._fail(error)

    def _end(self, due: float) -> None:
        """End the slice or gap, if the stack can be changed here; else that is tried again."""
        is_on, is_quiet = mode_stack.is_on(self._mode), mode_stack.is_quiet()
        if is_on == (self._state != GAP) and is_quiet:
            passed = self._passed()
            if self._state == WINDOW:
                self._end_slice(passed, due)
            elif self._state == GAP:
                self._end_gap(passed, due)
            else:
                self._begin_gap()
            self._begin, self._due = self._now(), None
        elif is_on and is_quiet:
            # torch restores whole stacks at times: what it brought back in a gap goes off again
            mode_stack.take_off(self._mode)

    def _end_gap(self, passed: Stretch, due: float) -> None:
        self._own_time.learn_free(passed)
        own = self._own(passed)
        self._windows.pass_gap(own)
        if own - due < SLICE:
            mode_stack.put_at_bottom(self._mode)
            self._state, self._target = WINDOW, SLICE
        else:
            self._target = self._windows.draw_gap()

    def _end_slice(self, passed: Stretch, due: float) -> None:
        self._own_time.learn_counted(passed)
        own = self._own(passed)
        if self._windows.pass_slice(due, own, passed.taken - own):
            self._windows.close()
            if self._windows.slowdown() < self._budget.share / 2:
                self._own_thread.end()  # every call counts again
                self._begin_anew()
            else:
                self._begin_gap()

    def _begin_gap(self) -> None:
        mode_stack.take_off(self._mode)
        self._state, self._target = GAP, self._windows.draw_gap()

    def _now(self) -> Stretch:
        return until_now(time.thread_time_ns(), self.meter)

    def _passed(self) -> Stretch:
        return self._now().since(self._begin)

    def _own(self, passed: Stretch) -> float:
        return self._own_time.of(passed.taken, passed.finding)

    def _fail(self, error: Exception) -> None:
        """Sample no more: every call counts, or none where the mode cannot come back."""
        self._failed = True
        self._begin_anew()
        self._look_at = sys.maxsize
        with suppress(Exception):
            if mode_stack.is_quiet():
                mode_stack.put_at_bottom(self._mode)
        notice(f"this process's calls are sampled no more: {error!r}")

    # ---- our thread

    def _end_in_time(self) -> None:
        """Have each slice and gap end when it is to."""
        try:
            clock = time.pthread_getcpuclockid(self.thread)
            pause, before = _RETRY, 0.0
            while self._own_thread.sleep(pause) and not self._failed:
                if self._due is None:
                    own = self._own_until(1e9 * time.clock_gettime(clock))
                    if own < self._target:
                        pause = 2 * pause if own == before else self._left(own)
                        pause, before = min(max(pause, _RETRY), _LONGEST_SLEEP), own
                        continue
                    self._due = own
                if self._is_posted:
                    pause = min(2 * pause, _LONGEST_SLEEP)  # it waits, or computes without Python
                else:
                    pause = _RETRY
                    self._is_posted = True  # first, for it may run at once
                    if not self._pending.post():
                        self._is_posted = False
        except Exception as error:
            notice(f"this process's calls are sampled no more: {error!r}")

    def _own_until(self, now: float) -> float:
        begin = self._begin
        return self._own_time.of(now - begin.taken, self.meter.finding - begin.finding)

    def _left(self, own: float) -> float:
        """Seconds until the target, as things go."""
        slowdown = self._windows.slowdown() if self._state == WINDOW else 0.0
        return (self._target - own) * (1 + slowdown) / 1e9

    # ---- forks

    def _before_fork(self) -> None:
        # Python warns who forks beside other threads; and a child has no use for half of one
        self._own_thread.end()

    def _after_fork(self) -> None:
        if self._state != EXACT:
            try:
                self._own_thread.begin(self._end_in_time)
            except Exception as error:
                self._fail(error)


def _can_sample() -> bool:
    """Whether another thread's time can be read here, and pending calls run under a lock."""
    is_locked: Any = getattr(sys, "_is_gil_enabled", None)
    return hasattr(time, "pthread_getcpuclockid") and (is_locked is None or bool(is_locked()))
