"""Tells the application's own time from what counting took, while the application runs.

A mode cannot time how torch enters and leaves it, in C++, which is most of what a call costs. But
that goes with what the mode can time: how long it takes to find the call's slot. Both grow with the
arguments, and with all that slows a machine down at times. In this measure, a call costs the more
the more the application does between two calls, which leaves our code cold. (A second mode below
the first, which seems to cost the same once more, costs 0.5 to 0.9 of it: it is warm already.)

Where operators are tiny, own time is a small rest of the time taken, guessed some 25 % wrong.
Applications that want gradients tell more: autograd numbers the operators that it tracks, with a
mode or without. How much own time goes with one of them is known from gaps, and so how much is to
go with those in windows.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch

#: of so many calls one is timed, on average
TIMED = 13
#: ns; a longer time for finding a slot is not the call's: something else ran meanwhile
_LONGEST_FINDING = 20_000
#: Cost of calls, in times of finding their slots: with no own time between them; how much more for
#: own time as long as finding them took; at most. Fitted to 19 small programs (Python 3.11, torch
#: 2.13), of training and inference, at half and at full speed of a machine.
_BARE, _GROWTH, _COLD = 3.0, 1.1, 5.2
#: own time of calls, in the same measure: at least; how far it is off (standard deviation, and
#: at most)
_OWN_LEAST, _OFF, _MOST_OFF = 0.4, 0.3, 1.0
#: stretches of time that are remembered, and how many it takes to learn from them
_REMEMBERED, _ENOUGH = 60, 6
#: how far a stretch may be off only since others miss in it, in times of finding slots
_MISSED = 0.6

#: how many operators autograd has tracked in this thread; 0 in a torch that does not tell
_tracked: Callable[[], int] = getattr(torch._C._autograd, "_get_sequence_nr", int)


class Meter:
    """What a mode knows of its calls in the watched thread.

    calls: how many. finding: ns for finding their slots, by those that were timed.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.finding = 0
        self.next_timed = 1  # this call is timed
        self._chance = random.Random()  # the application's own choices stay what they are

    def note(self, finding: int) -> None:
        """Take note of the time that finding a call's slot took, and choose the next such call."""
        self.finding += TIMED * min(finding, _LONGEST_FINDING)
        self.next_timed = self.calls + 1 + int(self._chance.random() * (2 * TIMED - 1))


class Stretch(NamedTuple):
    """What has passed in the watched thread.

    taken: its processor time, in ns. finding: ns of them for finding slots. tracked: operators
    that autograd tracked.
    """

    taken: float
    finding: float
    tracked: int


class OwnTime:
    """Estimates how much of the time that the watched thread took is the application's, in ns."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._more = 0.0  # than the guess, in times of finding slots
        self._counted: deque[Stretch] = deque(maxlen=_REMEMBERED)
        self._free: deque[Stretch] = deque(maxlen=_REMEMBERED)
        self.restart()

    def restart(self) -> None:
        """Begin a stretch, in the watched thread."""
        self._begin = Stretch(time.thread_time_ns(), self._meter.finding, _tracked())

    def passed(self) -> Stretch:
        """What has passed of it, in the watched thread."""
        begin, finding = self._begin, self._meter.finding
        taken = time.thread_time_ns() - begin.taken
        return Stretch(taken, finding - begin.finding, _tracked() - begin.tracked)

    def until(self, now: float) -> float:
        """Own time of it until the watched thread's clock shows ``now``, in any thread."""
        begin = self._begin
        return self.of(Stretch(now - begin.taken, self._meter.finding - begin.finding, 0))

    def of(self, stretch: Stretch) -> float:
        """The application's part of the time taken; the rest is what counting cost."""
        own = _guess(stretch) + self._more * stretch.finding
        return max(min(own, stretch.taken), _OWN_LEAST * stretch.finding, 1.0)

    def learn_free(self, stretch: Stretch) -> None:
        """From a stretch of time in which no calls were counted."""
        self._free.append(stretch)

    def learn_counted(self, stretch: Stretch) -> None:
        """From a stretch of time in which all calls were."""
        self._counted.append(stretch._replace(taken=_guess(stretch)))
        learned = self._learned()
        if learned is not None:
            more, variance = learned
            more *= _OFF**2 / (_OFF**2 + variance)
            self._more = min(max(more, -_MOST_OFF), _MOST_OFF)

    def _learned(self) -> tuple[float, float] | None:
        """How much more than guessed, and the variance, where enough operators are tracked."""
        if not self._free or len(self._counted) < _ENOUGH:
            return None
        counted, free = _sum(self._counted), _sum(self._free)
        if not (free.tracked and counted.finding):
            return None
        own = free.taken / free.tracked  # for each operator
        more = (own * counted.tracked - counted.taken) / counted.finding
        off = sum([(own * s.tracked - s.taken - more * s.finding) ** 2 for s in self._counted])
        off_free = sum([(own * s.tracked - s.taken) ** 2 for s in self._free])
        off += off_free * (counted.tracked / free.tracked) ** 2
        return more, off / counted.finding**2 + _MISSED**2 / len(self._counted)


def _guess(stretch: Stretch) -> float:
    """Own time, as far as time taken and time for finding slots tell."""
    own = (stretch.taken - _BARE * stretch.finding) / (1 + _GROWTH)
    return max(own, stretch.taken - _COLD * stretch.finding)


def _sum(stretches: deque[Stretch]) -> Stretch:
    taken, finding, tracked = zip(*stretches)  # noqa: B905 - not in Python 3.9
    return Stretch(sum(taken), sum(finding), sum(tracked))
