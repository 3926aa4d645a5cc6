"""Runs something of ours around every thread that the application starts through `threading`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .notice import notice


def tell_of_older_threads() -> None:
    """One line for the person if threads run already that cannot be followed."""
    own = threading.current_thread()
    older = sum(thread is not own for thread in threading.enumerate())
    if older:
        notice(f"threads that were there before torch are not counted: {older} of them")


class ThreadFollower:
    """Calls ``enter`` at the begin and ``leave`` at the end of each new thread, in that thread.

    Both must not raise. Threads that already run, and those of C code, are not followed.
    """

    def __init__(self, enter: Callable[[], None], leave: Callable[[], object]) -> None:
        self._enter = enter
        self._leave = leave
        self._original: Any = None
        self._ours: Any = None

    def start(self) -> None:
        """Follow threads that start from now on."""
        original = threading.Thread._bootstrap  # type: ignore[attr-defined]
        enter, leave = self._enter, self._leave

        def _bootstrap(thread: threading.Thread) -> None:
            enter()
            try:
                original(thread)
            finally:
                leave()

        self._original, self._ours = original, _bootstrap
        # around run(), an application's subclass would see us; this is what start() calls
        threading.Thread._bootstrap = _bootstrap  # type: ignore[attr-defined]

    def stop(self) -> None:
        """Follow no new thread, unless someone has wrapped our wrapper: then it stays."""
        if threading.Thread._bootstrap is self._ours:  # type: ignore[attr-defined]
            threading.Thread._bootstrap = self._original  # type: ignore[attr-defined]
