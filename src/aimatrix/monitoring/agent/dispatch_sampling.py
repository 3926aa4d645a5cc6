"""Holds what the dispatch mode costs under a budget: all calls while they fit, else samples.

Exact first: what counting costs goes into a debt, from which the budget's share of the time is
taken off. When the debt is more than the allowance, sampling begins: windows in which every call
counts, and gaps between them, of random lengths. In a gap the mode is off the thread's stack, for
any mode costs an operator some 4 us. A call in a window stands also for the calls of the gap before
it: for as many as the gap took longer than the window.

A thread of ours ends gaps and windows. It reads the watched thread's processor time, and has
Python run the change there (``Py_AddPendingCall``), between two steps of its code. In some places
(in a backward pass, in one long operator, while something is traced) the stack cannot be changed.
What cannot be cut must have the same chance to be in a window as anything else. So a gap that is
to end in such a place goes on for another random time; and only time in which the window might
have ended makes up its length, which is looked at in short slices.

Times are processor times of the watched thread, so that waiting is no gap, less what counting
took. Only the main thread runs pending calls: other threads stay exact.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import random
import sys
import threading
import time
import weakref
from _thread import allocate_lock, get_ident, start_new_thread
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from . import mode_stack
from .capture import Tally
from .failures import is_ours
from .notice import notice

#: own time of the application, in ns: of a window, and of the slices in which it passes
WINDOW, SLICE = 6e6, 3e6
#: calls between looks at the clock, while every call counts
BLOCK = 256
#: of so many calls one is timed: not a number that goes into the loops of many applications
TIMED = 61
#: a longer time for finding a call's slot is not the call's: something else ran meanwhile
_LONGEST_SLOT = 20_000
#: cost of a call besides finding its slot, in ns, until it has been measured
_ENTERING = 5000.0
#: how often it is measured: before the first gap; with one more in each gap, at most
_FIRST_MEASUREMENTS, _MEASUREMENTS = 3, 7
#: seconds between the first ones, and for which the watched thread waits at most
_BETWEEN, _LONGEST_PAUSE = 0.02, 0.2
#: of the budget; the rest is for the thread and its changes
_FOR_WINDOWS = 0.9
#: own time is at least this part of the time taken, however wrong the cost of a call is
_LEAST_OWN = 0.05
#: of what is known of past windows, at each window
_FADE = 0.9
#: seconds: before a change is tried again; the longest sleep, while the application waits
_RETRY, _LONGEST_SLEEP = 0.001, 0.1
#: seconds in which our thread ends for certain
_ENDING = 2.0

# What Python is to run is a function in C: ``bool(hook)``, which gives 0, or -1 for an exception.
# A function of ours in its place would have to swallow what a signal's handler raises inside it.
_BOOL_OF = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p)
_add_pending_call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object)(
    ("Py_AddPendingCall", ctypes.pythonapi)
)


class EstimatingTally(Tally, Protocol):
    """A tally that tells estimates from calls that were seen."""

    def add_estimate(self, slot: int, calls: float) -> None:
        """Count ``calls`` that sampling stands for."""
        ...


@dataclass(frozen=True)
class Budget:
    """What counting may take.

    share: of the application's time. allowance: seconds beyond that before sampling begins.
    """

    share: float
    allowance: float


class Meter:
    """What a mode knows of its calls in the watched thread: how many, and of one in some more."""

    def __init__(self) -> None:
        self.events = 0
        self.one_of = TIMED
        self.kinds: Counter[str] = Counter()  # of those timed
        self._slot_ns = 0

    def note(self, slot_ns: int, kind: str) -> None:
        """Take note of the time that finding a slot took, and of the call's kind."""
        self.kinds[kind] += 1
        self._slot_ns += min(slot_ns, _LONGEST_SLOT)

    def slot_ns(self) -> float:
        """In the mean."""
        return self._slot_ns / max(sum(self.kinds.values()), 1)


class _Token:
    """Nothing but its end is of use."""

    __slots__ = ("__weakref__",)


class _Reference(weakref.ref[_Token]):
    """Of a token: handed on, when that has ended, behind the arguments of a C function."""

    __slots__ = ()
    _as_parameter_ = 0  # which C leaves alone


class _Hook:
    """Python asks whether it is true, and so runs ``change``."""

    def __init__(self, change: Callable[[], None]) -> None:
        self._change = change

    def __bool__(self) -> bool:
        self._change()
        return False


class Sampler:
    """Decides when the mode of the main thread is on, and what its calls stand for.

    besides_slot: measures what a call of a kind costs but for finding its slot, in ns.
    """

    def __init__(
        self, budget: Budget, tally: EstimatingTally, besides_slot: Callable[[str], float]
    ) -> None:
        self._budget = budget
        self.tally = tally
        self._measure = besides_slot
        self._besides_slot_ns = _ENTERING
        self._measured: dict[str, list[float]] = defaultdict(list)  # by kind
        self._gaps = 0
        self.meter = Meter()
        self._mode: Any = None
        self.thread = 0  # the watched one
        self._chance = random.Random()  # the application's own choices stay what they are
        self._hook = _Hook(self._when_called)
        self._reference: Any = None
        self._process = _Process()
        self._failed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._is_sampling = False
        self._is_marked = False  # what is counted is an estimate: not before the first gap
        self._is_open = False  # a window
        self._window: dict[int, int] = defaultdict(int)  # slot -> calls
        self._length = 0.0  # of the window: time in which it might have ended
        self._last: tuple[dict[int, int], float] | None = None  # window and its length
        self._gap = 0.0
        self._target = SLICE  # own time after which the slice, or the gap, is to end
        self._due: float | None = None  # own time after which that was found to have come
        self._is_posted = False
        self._pause: _Pause | None = None  # for which the watched thread is asked
        self._debt = 0.0
        self._since = (0, 0)  # processor time and events at the begin of the block, slice or gap
        self._look_at = 0 if self.thread else sys.maxsize
        # of past windows
        self._costs = self._owns = self._lengths = 0.0

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
        self._process.end()
        if self._is_sampling and get_ident() == self.thread:
            self._stand_for(self._window, 1.0)
            if self._last is not None:
                window, length = self._last
                rest = 0.0 if self._is_open else self._own_time()
                self._stand_for(window, (self._gap + rest) * self._open_part() / length)
        self._begin_anew()

    def reset_after_fork(self) -> None:
        """In a forked child every call counts again, until that costs too much here too."""
        was_sampling, self._process = self._is_sampling, _Process()
        self._begin_anew()
        if not was_sampling or get_ident() != self.thread:
            return
        try:
            if mode_stack.is_quiet():
                mode_stack.put_at_bottom(self._mode)
            elif not mode_stack.is_on(self._mode):
                self._begin(1.0)  # it comes back with the first window
        except Exception as error:
            self._fail(error)

    # ---- for the mode, at each call

    def count(self, slot: int) -> object:
        """Count a call. What this returns has to live until the handler's frame ends."""
        if not self._is_sampling:
            self.tally.add(slot)
            if self.meter.events >= self._look_at:
                self._look()
            return None
        if self._is_open:
            self._window[slot] += 1
        elif self._is_marked:  # a stack that torch has kept from an earlier window
            self.tally.add_estimate(slot, 1.0)
        else:
            self.tally.add(slot)
        return self._token() if self._due is not None else None

    def count_as_in_a_window(self) -> None:
        """From now on, whatever it costs: to measure that."""
        self.thread = get_ident()
        self._is_sampling = self._is_marked = self._is_open = True

    def _look(self) -> None:
        """See what counting has cost since the last look, and whether that is too much."""
        if get_ident() != self.thread:
            return
        try:
            now, events = time.thread_time_ns(), self.meter.events
            taken, cost = now - self._since[0], self._cost(events - self._since[1])
            own = self._own(taken, cost)
            if self._look_at:
                self._debt = max(self._debt + cost - self._budget.share * own, 0.0)
            self._since, self._look_at = (now, events), events + BLOCK
            if self._debt > 1e9 * self._budget.allowance and cost > self._budget.share * own:
                self._begin(cost / own)
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
        token = _Token()
        post = functools.partial(_add_pending_call, _BOOL_OF, self._hook)
        self._reference = _Reference(token, post)
        return token

    # ---- windows and gaps, in the watched thread

    def _begin(self, slowdown: float) -> None:
        self._costs, self._owns, self._lengths = slowdown * WINDOW, WINDOW, WINDOW
        self._since = time.thread_time_ns(), self.meter.events
        self._is_sampling = True
        self._process.begin(self._look_after)

    def _when_called(self) -> None:
        try:
            self._change()
        except Exception as error:
            if not is_ours(error):
                raise
            self._fail(error)

    def _change(self) -> None:
        self._is_posted = False
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.begun.release()
            pause.over.acquire(timeout=_LONGEST_PAUSE)
        due = self._due
        if due is not None and get_ident() == self.thread and not self._failed:
            self._end_slice(due)

    def _end_slice(self, due: float) -> None:
        is_on = mode_stack.is_on(self._mode)
        if is_on != (self._is_open or not self._is_marked) or not mode_stack.is_quiet():
            self._mend(is_on)
            return
        own = self._own_time()
        if self._is_open:
            self._pass_in_window(due, own)
        elif self._is_marked:
            self._gap += own
            if own - due < SLICE:
                self._open()
        else:
            self._is_marked = True
            self._begin_gap()
        if self._is_marked and not self._is_open:
            self._target = self._chance.uniform(0.0, 2.0) * self._mean_gap()
        self._since, self._due = (time.thread_time_ns(), self.meter.events), None

    def _mend(self, is_on: bool) -> None:
        # torch restores whole stacks at times: what it brought back in a gap goes off again
        if is_on and self._is_marked and not self._is_open and mode_stack.is_quiet():
            mode_stack.take_off(self._mode)

    def _open(self) -> None:
        mode_stack.put_at_bottom(self._mode)
        self._is_open, self._target = True, SLICE

    def _pass_in_window(self, due: float, own: float) -> None:
        self._length += due
        self._lengths += due
        self._owns += own
        self._costs += self._cost(self.meter.events - self._since[1])
        if self._length >= WINDOW:
            self._close()

    def _close(self) -> None:
        self._stand_for(self._window, 1 + self._gap * self._open_part() / self._length)
        if self._costs < self._owns * self._budget.share / 2:
            self._process.end()  # every call counts again
            self._begin_anew()
            return
        self._last = self._window, self._length
        self._window, self._length, self._gap = defaultdict(int), 0.0, 0.0
        self._costs, self._owns, self._lengths = (
            _FADE * sum_ for sum_ in (self._costs, self._owns, self._lengths)
        )
        self._begin_gap()

    def _begin_gap(self) -> None:
        mode_stack.take_off(self._mode)
        self._is_open = False
        self._gaps += 1

    def _open_part(self) -> float:
        """The part of the time in which a window might begin or end, from past windows."""
        return min(self._lengths / self._owns, 1.0)

    def _mean_gap(self) -> float:
        share = self._budget.share * _FOR_WINDOWS
        windows = self._lengths / WINDOW
        return max((self._costs / share - self._owns) / windows, SLICE)

    def _stand_for(self, window: dict[int, int], weight: float) -> None:
        for slot, calls in window.items():
            self.tally.add_estimate(slot, calls * weight)

    def _own_time(self) -> float:
        """Of the slice so far."""
        taken = time.thread_time_ns() - self._since[0]
        return self._own(taken, self._cost(self.meter.events - self._since[1]))

    def _cost(self, events: int) -> float:
        return events * (self._besides_slot_ns + self.meter.slot_ns())

    def _own(self, taken: float, cost: float) -> float:
        return max(taken - cost, _LEAST_OWN * taken, 1.0)

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

    def _look_after(self, process: _Process) -> None:
        for _ in range(_FIRST_MEASUREMENTS):
            for kind in list(self.meter.kinds):
                if not process.sleep(_BETWEEN):
                    return
                self._measure_cost(kind)
        clock = time.pthread_getcpuclockid(self.thread)
        pause, before, gaps = _RETRY, 0.0, 0
        while process.sleep(pause) and not self._failed:
            if self._due is None:
                taken = 1e9 * time.clock_gettime(clock) - self._since[0]
                own = self._own(taken, self._cost(self.meter.events - self._since[1]))
                if own < self._target:
                    if self._is_marked and not self._is_open and self._gaps != gaps:
                        gaps = self._gaps
                        self._measure_one_more()
                    slowdown = self._costs / self._owns if self._is_open else 0.0
                    left = (self._target - own) * (1 + slowdown) / 1e9
                    pause = 2 * pause if own == before else left
                    pause, before = min(max(pause, _RETRY), _LONGEST_SLEEP), own
                    continue
                self._due = own
            if self._is_posted:
                pause = min(2 * pause, _LONGEST_SLEEP)  # it waits, or computes without Python
            else:
                pause = _RETRY
                self._is_posted = _add_pending_call(_BOOL_OF, self._hook) == 0

    def _measure_one_more(self) -> None:
        kinds = list(self.meter.kinds)
        kind = min(kinds, key=lambda kind: len(self._measured[kind]))
        if len(self._measured[kind]) < _MEASUREMENTS:
            self._measure_cost(kind)
        self._weigh_kinds()

    def _weigh_kinds(self) -> None:
        # the machine may be busy with other things at one time, but hardly at most of them
        kinds = {k: n for k, n in list(self.meter.kinds.items()) if self._measured[k]}
        if kinds:
            costs = sum(median(self._measured[kind]) * n for kind, n in kinds.items())
            self._besides_slot_ns = costs / sum(kinds.values())

    def _measure_cost(self, kind: str) -> None:
        # threads that want Python's lock make each other's calls twice as long: the watched one
        # waits meanwhile, some hundredths of a second
        pause = self._pause = _Pause()
        _add_pending_call(_BOOL_OF, self._hook)
        if not pause.begun.acquire(timeout=_LONGEST_PAUSE) and self._pause is pause:
            self._pause = None  # it computes without Python: another time
            return
        try:
            self._measured[kind].append(self._measure(kind))
        finally:
            pause.over.release()
        self._weigh_kinds()

    # ---- forks

    def _before_fork(self) -> None:
        # Python warns who forks beside other threads; and a child has no use for half of one
        self._process.end()

    def _after_fork(self) -> None:
        if self._is_sampling:
            try:
                self._process.begin(self._look_after)
            except Exception as error:
                self._fail(error)


class _Pause:
    """Of the watched thread, while something is measured."""

    def __init__(self) -> None:
        self.begun, self.over = allocate_lock(), allocate_lock()
        self.begun.acquire()
        self.over.acquire()


class _Process:
    """Our thread in this process, as far as there is one."""

    def __init__(self) -> None:
        self._wake = allocate_lock()
        self._ended = allocate_lock()
        self._wake.acquire()

    def begin(self, work: Callable[[_Process], None]) -> None:
        """Run ``work`` in a thread, which is none of the application's ``threading``."""
        if self._ended.acquire(blocking=False):
            try:
                start_new_thread(self._run, (work,))
            except BaseException:
                self._ended.release()
                raise

    def end(self) -> None:
        """Have the thread end, and wait for that."""
        if not self._ended.acquire(blocking=False):
            with suppress(RuntimeError):  # another thread has asked for it too
                self._wake.release()
            if not self._ended.acquire(timeout=_ENDING):
                return
            self._wake.acquire(blocking=False)
        self._ended.release()

    def sleep(self, seconds: float) -> bool:
        """False if it is time to end."""
        return not self._wake.acquire(timeout=seconds)

    def _run(self, work: Callable[[_Process], None]) -> None:
        try:
            work(self)
        except Exception as error:
            notice(f"this process's calls are sampled no more: {error!r}")
        finally:
            self._ended.release()


def _can_sample() -> bool:
    """Whether another thread's time can be read here, and pending calls run under a lock."""
    is_locked: Any = getattr(sys, "_is_gil_enabled", None)
    return hasattr(time, "pthread_getcpuclockid") and (is_locked is None or bool(is_locked()))
