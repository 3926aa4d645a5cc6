"""What runs left in their spools whose launcher was killed, or could not hand its counts on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aimatrix.errors import InputError
from aimatrix.monitoring import run_folder
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.spool import COUNTS
from aimatrix.monitoring.delivery import Delivery, WindowCount
from aimatrix.monitoring.run_folder import Run
from aimatrix.monitoring.spool_reader import SpoolReader, State

OnLeftover = Callable[[Run, list[WindowCount]], None]


@dataclass(frozen=True, slots=True)
class Leftover:
    """What became of the spool of a run that goes on no more.

    run: None when it may not be brought in here. calls: how many came in. stays: how many are
    still in the spool, None where that cannot be read; reason: why, empty when all came in.
    """

    spool: Path
    run: Run | None
    calls: int
    stays: int | None
    reason: str


def any_left(spools: Path) -> bool:
    """Whether a run of this host that goes on no more has left counts in ``spools``."""
    try:
        return any(map(_has_left, run_folder.folders(spools)))
    except OSError:
        return False


def bring_in(spools: Path, on_counts: OnLeftover) -> None:
    """`collect` what runs of this host have left, and say what came in, or why it could not.

    A line on standard error each. Raises nothing.
    """
    for left in collect(spools, on_counts):
        if left.run is not None and left.reason:
            notice(f"{left.spool}: counts of an earlier run stay there: {left.reason}")
        if left.run is not None and left.calls:
            notice(
                f"{left.calls} calls that an earlier run of {left.run.app!r} had left behind are"
                " in the log"
            )


def collect(spools: Path, on_counts: OnLeftover, *, any_host: bool = False) -> list[Leftover]:
    """Hand on what runs that go on no more have left in ``spools``; what became of each.

    The counts of a run go into the window in which they were last written. Runs that go on, or
    left nothing, are passed over. any_host: also runs of other hosts, which are taken for gone
    with all their processes unless a lock says that they go on. Raises nothing.
    """
    try:
        folders = run_folder.folders(spools)
    except OSError as error:
        return [Leftover(spools, None, 0, None, error.strerror or str(error))]
    found = [_collect(spool, on_counts, any_host) for spool in folders]
    return [left for left in found if left is not None]


def _has_left(spool: Path) -> bool:
    try:
        with run_folder.claimed(spool) as run:
            if run is None:
                return False
            return _calls_in(spool) != 0
    except (InputError, OSError):
        return False


def _collect(spool: Path, on_counts: OnLeftover, any_host: bool) -> Leftover | None:
    run = None
    try:
        with run_folder.claimed(spool, any_host=any_host) as run:
            return None if run is None else _bring_in(spool, run, on_counts)
    except Exception as error:
        stays = _calls_in(spool)
        reason = getattr(error, "strerror", None) or str(error)
        return Leftover(spool, run, 0, stays, reason) if stays != 0 else None


def _calls_in(spool: Path) -> int | None:
    """How many calls of a spool have not been handed on; None where it cannot be read."""
    reader = SpoolReader(spool)
    try:
        calls = sum(delta.calls for delta in reader.read())
    except OSError:
        return None
    return None if reader.damaged else calls


def _bring_in(spool: Path, run: Run, on_counts: OnLeftover) -> Leftover | None:
    state = State.LEFT if run.host == run_folder.this_host() else State.GONE
    delivery = Delivery(spool, run.window_seconds, partial(on_counts, run), state)
    written = max((path.stat().st_mtime for path in spool.glob(f"*{COUNTS}")), default=0.0)
    calls = delivery.deliver_late(written)
    if delivery.all_ended:
        run_folder.remove(spool)
    if not calls and not delivery.damage:
        return None
    return Leftover(spool, run, calls, None if delivery.damage else 0, delivery.damage)
