"""What of a stage's time in ONNX Runtime an application would spend too, by ONNX Runtime's profile.

A stage is a session of its own. To enter a session takes some microseconds, and its convolutions
bring what they read and write from and to the layout that the outside has. An application is one
session, and its convolutions hand on what they have in their own layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: an event: all of a session's run, and the part of it in which operators run
_RUN, _OPERATORS = "model_run", "SequentialExecutor::Execute"
#: operators that bring numbers into the layout of convolutions and out of it
_LAYOUT = ("ReorderInput", "ReorderOutput")


def own_share(profile: Path) -> float:
    """Of the time of the runs in a profile but the first, the share of the stage's own operators.

    Layouts that change inside of a block count as those at its ends do: there are few. 1.0 where
    the profile does not tell, as may be with another version of ONNX Runtime.
    """
    events = json.loads(profile.read_text(encoding="utf-8"))
    runs = [event["ts"] for event in events if event.get("name") == _RUN]
    if len(runs) < 2 or not any(event.get("name") == _OPERATORS for event in events):
        return 1.0
    later = [event for event in events if event.get("ts", 0) >= sorted(runs)[1]]
    whole = _sum(event for event in later if event.get("name") == _RUN)
    operators = _sum(event for event in later if event.get("name") == _OPERATORS)
    layout = _sum(
        event
        for event in later
        if event.get("args", {}).get("op_name") in _LAYOUT
        and event["name"].endswith("_kernel_time")
    )
    return (operators - layout) / whole if 0 <= layout <= operators <= whole > 0 else 1.0


def _sum(events: Iterable[dict[str, Any]]) -> int:
    """Microseconds of these."""
    return sum(event["dur"] for event in events)
