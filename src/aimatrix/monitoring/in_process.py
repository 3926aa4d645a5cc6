"""Records the operator calls of a piece of code of ours in this process, in their order."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimatrix.dialects.raw import RawCall, from_json
from aimatrix.monitoring.agent.capture import NO_WORK


@dataclass(frozen=True, slots=True)
class Recorded:
    """The calls in their order; and (producer, consumer, how often) where one took another's."""

    calls: list[RawCall]
    pairs: list[tuple[RawCall, RawCall, int]]


class _Tally:
    """A tally that keeps each call instead of counting it."""

    def __init__(self) -> None:
        self._calls: list[int] = []
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._known: list[RawCall | None] = [None]  # slot 0 means overflow: none here
        self._slots: dict[Hashable, int] = {}

    def slots(self) -> dict[Hashable, int]:
        return self._slots

    def open(self, describe: Callable[[], dict[str, Any] | None]) -> int:
        description = describe()
        if description is None:
            return NO_WORK
        self._known.append(from_json(json.dumps(description)))
        return len(self._known) - 1

    def add(self, slot: int) -> None:
        self._calls.append(slot)

    def look(self, slot: int, producers: Collection[int]) -> None:
        self._pairs.update((producer, slot) for producer in producers)

    def recorded(self) -> Recorded:
        known = [call or RawCall("") for call in self._known]
        return Recorded(
            [known[slot] for slot in self._calls],
            [(known[a], known[b], count) for (a, b), count in self._pairs.items()],
        )


def record_calls(
    run: Callable[[], object], attributes: Mapping[str, Sequence[str]]
) -> list[RawCall]:
    """Run ``run`` and return what it called, as `run_monitored` would have counted it.

    attributes: operator name (``aten::convolution``) -> arguments besides tensors to keep.
    Needs torch. What ``run`` raises is passed on.
    """
    return record_pairs(run, attributes).calls


def record_pairs(run: Callable[[], object], attributes: Mapping[str, Sequence[str]]) -> Recorded:
    """As `record_calls`, and also who consumed whose output, over all of the calls."""
    from aimatrix.monitoring.agent.dispatch import DispatchCapture
    from aimatrix.monitoring.agent.pairs import Pairs

    tally = _Tally()
    capture = DispatchCapture(attributes, tally, pairs=Pairs(tally, first=sys.maxsize))
    capture.start()
    try:
        run()
    finally:
        capture.stop()
    return tally.recorded()


def record_application(
    function: Callable[..., object], inputs: Sequence[Any], attributes: Mapping[str, Sequence[str]]
) -> Recorded:
    """As `record_pairs`, of ``function(*inputs)`` the way backends run it.

    A module runs for inference, set to eval, and stays so: dropped paths and training branches call
    others. Another callable is a program of its own, which may train: it runs as it is, and is
    recorded the second time, when what it sets up is there.
    """
    import torch

    if not isinstance(function, torch.nn.Module):
        function(*inputs)
        return record_pairs(lambda: function(*inputs), attributes)
    function.eval()
    with torch.inference_mode():
        return record_pairs(lambda: function(*inputs), attributes)
