"""How long the gaps between windows are to be, and for what the calls of a window stand.

Times are the application's own, in ns. What cannot be cut (a backward pass) is in a window as a
whole, so that a window's length is the time in it at which it might have ended.
"""

from __future__ import annotations

import random
from collections import defaultdict

from .capture import EstimatingTally

#: length of a window, and of the slices in which it passes
WINDOW, SLICE = 6e6, 3e6
#: of the budget; the rest is for our thread and its changes
_FOR_WINDOWS = 0.9
#: of what is known of past windows, at each window
_FADE = 0.9


class Windows:
    """Of one process, from the first gap on; ``slowdown`` is cost / own time until then."""

    def __init__(self, share: float, slowdown: float, tally: EstimatingTally) -> None:
        self._share = share
        self._tally = tally
        self._chance = random.Random()  # the application's own choices stay what they are
        self._calls: dict[int, int] = defaultdict(int)  # by slot
        self._length = 0.0
        self._gap = 0.0  # before the window
        self._last: tuple[dict[int, int], float] | None = None  # window and its length
        # of past windows, of the latest most
        self._costs, self._owns, self._lengths = slowdown * WINDOW, WINDOW, WINDOW

    def add(self, slot: int) -> None:
        """Count a call in the window: one for now, more at its end."""
        self._tally.add_estimate(slot, 1.0)
        self._calls[slot] += 1

    def pass_gap(self, own: float) -> None:
        """Some of the gap, or all of it."""
        self._gap += own

    def pass_slice(self, length: float, own: float, cost: float) -> bool:
        """Of a window; whether that is complete."""
        self._length += length
        self._lengths += length
        self._owns += own
        self._costs += cost
        return self._length >= WINDOW

    def close(self) -> None:
        """Have the window's calls stand for those of the gap, too."""
        self._last = self._calls, self._length
        self.stand_for_gap()
        self._calls, self._length = defaultdict(int), 0.0
        self._costs, self._owns, self._lengths = (
            _FADE * self._costs,
            _FADE * self._owns,
            _FADE * self._lengths,
        )

    def stand_for_gap(self) -> None:
        """Have the last window's calls stand for the gap before it, or at the end after it."""
        if self._last is not None:
            calls, length = self._last
            for slot, seen in calls.items():
                gap = self._gap * self._part_open()
                self._tally.add_estimate(slot, seen * gap / length)
        self._gap = 0.0

    def slowdown(self) -> float:
        """Cost / own time of past windows."""
        return self._costs / self._owns

    def draw_gap(self) -> float:
        """A length for a gap, or for the rest of one."""
        windows = self._lengths / WINDOW
        mean = (self._costs / (self._share * _FOR_WINDOWS) - self._owns) / windows
        return self._chance.uniform(0.0, 2.0) * max(mean, SLICE)

    def _part_open(self) -> float:
        """The part of the time in which a window might begin or end."""
        return min(self._lengths / self._owns, 1.0)
