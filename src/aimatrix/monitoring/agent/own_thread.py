"""A thread of ours that comes and goes while the application runs."""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress

#: seconds in which it ends for certain
_ENDING = 2.0


class OwnThread:
    """Our thread in this process, as far as there is one."""

    def __init__(self) -> None:
        self._wake = allocate_lock()
        self._ended = allocate_lock()
        self._wake.acquire()

    def begin(self, work: Callable[[], None]) -> None:
        """Run ``work``, which must not raise, in a thread that is none of ``threading``'s."""
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
        """For ``work``: False if it is time to end."""
        return not self._wake.acquire(timeout=seconds)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._ended.release()
