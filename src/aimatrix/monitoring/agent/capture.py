"""What a capture is: the part of the agent that sees operators, apart from where they are counted.

A second capture needs a class with this interface and a line in `activation.CAPTURES`; the
contract suite in ``tests/monitoring`` then runs on it. `docs/monitoring.md` has the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, Protocol

#: slot of a call that is no work (a tensor without data): counted nowhere
NO_WORK = -1

#: One operator call for the spool: name, overload, phase, arguments (docs/file-formats.md)
Description = dict[str, Any]


class Tally(Protocol):
    """Where a capture counts. All methods may be called from any thread."""

    def slots(self) -> dict[Hashable, int]:
        """The calling thread's known signatures, by keys of the capture's choice."""
        ...

    def open(self, describe: Callable[[], Description | None]) -> int:
        """A slot for a signature never seen before; ``describe`` returns None for no work."""
        ...

    def add(self, slot: int) -> None:
        """Count one call."""
        ...

    def look(self, slot: int, producers: Collection[int]) -> None:
        """Count one call as looked at, and as a consumer of what the calls of slots produced."""
        ...


class EstimatingTally(Tally, Protocol):
    """A tally that tells estimates from calls that were seen."""

    def add_estimate(self, slot: int, calls: float) -> None:
        """Count ``calls`` that sampling stands for."""
        ...


class Capture(Protocol):
    """Sees operator calls in this process from `start` to `stop`, and counts them in the spool.

    The dispatch mode counts in a `Tally`, the native capture in files that it writes by itself. A
    capture sees every operator call of the threads it covers once, changes no result, starts no
    thread as long as all calls are counted (but one for a moment, in a forked child that goes on to
    call operators), holds no lock while the application's code runs, and after a failure of its own
    stands aside.
    """

    name: str

    def start(self) -> None:
        """Begin to see calls, also of threads that the application starts later."""
        ...

    def stop(self) -> None:
        """See no more calls of the calling thread and of threads started later."""
        ...

    def reset_after_fork(self) -> None:
        """Go on in a forked child, where only the forking thread lives and the tally is empty."""
        ...
