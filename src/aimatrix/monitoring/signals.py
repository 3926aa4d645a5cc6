"""Makes a program that started another one nearly invisible between it and its user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_TERMINAL = ("SIGINT", "SIGQUIT")  # a terminal sends these to the whole foreground group by itself
_FORWARDED = (*_TERMINAL, "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")


class SignalForwarder:
    """Holds signals for us back and sends them to the child, from before it is started."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    @contextmanager
    def forwarding(self) -> Iterator[None]:
        """Forward while inside. Outside the main thread, where Python has no signals, nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {}
        for name in _FORWARDED:
            number = getattr(signal, name, None)
            # one that is ignored (nohup) stays so, for the child too
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                # a function, not SIG_IGN, which the child would inherit
                previous[number] = signal.signal(number, self._forward)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def to(self, child: subprocess.Popen[bytes]) -> None:
        """Name the child; signals that came before it ran are sent now."""
        self._child = child
        while self._early:
            child.send_signal(self._early.pop(0))

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number in {getattr(signal, name) for name in _TERMINAL} and _in_foreground():
            return  # the terminal has sent it to the child as well
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Whether this process group is the one that a terminal sends its signals to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def end_like(returncode: int) -> NoReturn:
    """End this process as the child ended: by its exit code, or by the signal that killed it.

    returncode: as `run_monitored` returns it; negative for a signal. A shell then sees what it
    would have seen without us.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if returncode < 0:
        _leave_core_dump_to_child()
        with suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -returncode)
        returncode = 128 - returncode  # the signal was blocked
    raise SystemExit(returncode)


def _leave_core_dump_to_child() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
