"""Has the watched thread do something when it has had some time of its own, wherever it is then.

A thread of ours reads the watched one's processor time, and has Python make the call there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .notice import notice
from .own_thread import OwnThread
from .own_time import OwnTime
from .pending_call import PendingCall

#: seconds: before a call is tried again; the longest sleep, while the application waits
_RETRY, _LONGEST_SLEEP = 0.001, 0.1


class Alarm:
    """Calls ``ring`` with the own time, in ns, at which it was found to be due.

    It goes on to be due, and to ring, until it is set again.
    """

    def __init__(self, own_time: OwnTime, ring: Callable[[float], None]) -> None:
        self._own_time = own_time
        self._ring = ring
        self._pending = PendingCall(self._when_pending)
        self._own_thread = OwnThread()
        self._is_posted = False
        self.set(0.0)

    def set(self, target: float, slowdown: float = 0.0) -> None:
        """Be due after so much own time from now on; counting takes ``slowdown`` times that."""
        self._target, self._slowdown = target, slowdown
        self._own_time.restart()
        self.due: float | None = None  # last: from here on our thread looks

    def begin(self, thread: int) -> None:
        """Watch a thread, from another one that is there as long as it takes."""
        self._own_thread.begin(lambda: self._watch(thread))

    def end(self) -> None:
        """Watch no more; no thread of ours is left."""
        self._own_thread.end()

    def reset_after_fork(self) -> None:
        """In a child there is none."""
        self._own_thread = OwnThread()
        self._is_posted = False

    def ring_when_dropped(self) -> object:
        """Ring, if it is due, right after what this gives has ended."""
        return self._pending.post_when_dropped()

    def _when_pending(self) -> None:
        self._is_posted = False
        if self.due is not None:
            self._ring(self.due)

    def _watch(self, thread: int) -> None:
        try:
            clock = time.pthread_getcpuclockid(thread)
            pause, before = _RETRY, 0.0
            while self._own_thread.sleep(pause):
                if self.due is None:
                    own = self._own_time.until(1e9 * time.clock_gettime(clock))
                    left = (self._target - own) * (1 + self._slowdown) / 1e9
                    if left > 0:
                        pause = 2 * pause if own == before else left
                        pause, before = min(max(pause, _RETRY), _LONGEST_SLEEP), own
                        continue
                    self.due = own
                pause = self._post(pause)
        except Exception as error:
            notice(f"this process's calls are sampled no more: {error!r}")

    def _post(self, pause: float) -> float:
        """Have it ring; seconds until that is looked at again."""
        if self._is_posted:
            return min(2 * pause, _LONGEST_SLEEP)  # it waits, or computes without Python
        self._is_posted = True  # first, for it may ring at once
        if not self._pending.post():
            self._is_posted = False
        return _RETRY
