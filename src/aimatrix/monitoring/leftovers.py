"""What runs left in their spools whose launcher was killed, or could not hand its counts on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from aimatrix.errors import InputError
from aimatrix.monitoring import run_folder
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.spool import COUNTS
from aimatrix.monitoring.delivery import Delivery, WindowCount
from aimatrix.monitoring.run_folder import Run
from aimatrix.monitoring.spool_reader import SpoolReader

OnLeftover = Callable[[Run, list[WindowCount]], None]


def any_left(spools: Path) -> bool:
    """Whether a run of this host that goes on no more has left counts in ``spools``."""
    return any(map(_has_left, run_folder.folders(spools)))


def bring_in(spools: Path, on_counts: OnLeftover) -> None:
    """Hand on what runs of this host that go on no more have left in ``spools``.

    The counts of a run go into the window in which they were last written. A line on standard
    error says what came in, or why it could not; that stays for another time. Raises nothing.
    """
    for spool in run_folder.folders(spools):
        try:
            with run_folder.claimed(spool) as run:
                if run is not None:
                    _bring_in(spool, run, on_counts)
        except Exception as error:
            notice(f"{spool}: the counts of an earlier run stay there: {error}")


def _has_left(spool: Path) -> bool:
    with run_folder.claimed(spool) as run:
        if run is None:
            return False
        try:
            return bool(SpoolReader(spool).read())
        except (InputError, OSError, ValueError):
            return True  # bringing it in will say what is wrong with it


def _bring_in(spool: Path, run: Run, on_counts: OnLeftover) -> None:
    delivery = Delivery(spool, run.window_seconds, partial(on_counts, run))
    written = max((path.stat().st_mtime for path in spool.glob(f"*{COUNTS}")), default=0.0)
    calls = delivery.deliver_late(written)
    if calls:
        notice(f"{calls} calls that an earlier run of {run.app!r} had left behind are in the log")
    if delivery.all_ended:
        run_folder.remove(spool)
