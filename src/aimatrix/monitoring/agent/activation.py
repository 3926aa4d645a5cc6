"""Joins capture and spool in a process that has just imported torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from .capture import Capture
from .spool import SpoolTally

CONFIGURATION = "agent.json"


def _dispatch(attributes: dict[str, list[str]], tally: SpoolTally) -> Capture:
    from .dispatch import DispatchCapture
    from .threads import tell_of_older_threads

    capture = DispatchCapture(attributes, tally)
    tell_of_older_threads()  # a mode belongs to a thread: another capture may see them all
    return capture


#: name -> how to make it from (operator name -> arguments to keep) and the tally to count in
CAPTURES: dict[str, Callable[[dict[str, list[str]], SpoolTally], Capture]] = {
    "dispatch": _dispatch,
}


def activate(spool: str) -> None:
    """Start the capture that the launcher configured in the folder ``spool``."""
    with open(os.path.join(spool, CONFIGURATION), encoding="utf-8") as file:
        configuration: dict[str, Any] = json.load(file)
    tally = SpoolTally(spool, configuration["capacity"])
    capture = CAPTURES[configuration["capture"]](configuration["attributes"], tally)
    # what the parent counted is in the parent's files; the child makes its own
    os.register_at_fork(after_in_child=tally.reset)
    os.register_at_fork(after_in_child=capture.reset_after_fork)
    capture.start()
