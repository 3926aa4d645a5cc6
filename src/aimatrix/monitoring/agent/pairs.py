"""Who consumes whose output: looks at calls in bursts, by the storages of their tensors.

A storage's producer is the call that made it or wrote into it last. So a view keeps the producer
of what it shows, and a call that only hands on its input produces nothing; nor does ``reshape``
where it has to copy, which counts as a view all the same. A parameter (a leaf that requires
gradients) has no producer, whoever has set or stepped it.

The first calls of a process are all looked at, then bursts of them; ever fewer once enough have
been seen. At the begin of a burst no producer is known.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from .capture import Tally
from .signature import Plan

#: calls that are all looked at, at the begin of a process
FIRST = 4096
#: calls of a burst, and from the end of one to the begin of the next
BURST, GAP = 512, 63 * 512
#: looked-at calls after which each gap is twice as long as the one before
ENOUGH = 65_536

_Tensor = torch.Tensor


class Pairs:
    """Decides which calls are looked at, and has the tally count their pairs.

    calls: that were counted in this process. begin: how many come before the next look; a capture
    compares the two at each call.
    """

    def __init__(self, tally: Tally, first: int = FIRST) -> None:
        self._tally = tally
        self._first = first
        self.reset()

    def reset(self) -> None:
        """Begin anew: for a forked child."""
        self.calls = self.begin = 0
        self._end = self._first
        self._gap = GAP
        self._looked = 0
        self._producers = _Producers()

    def forget(self) -> None:
        """Know no producer in this thread: calls have been made that were not seen."""
        self._producers.known.clear()

    def look(
        self, plan: Plan, slot: int, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Take note of a call that has returned; ``slot`` is where it was counted."""
        if self.calls > self._end:
            self._end_burst()
            return
        known = self._producers.since(self.begin)
        producers: set[int] = set()
        taken: list[int] = []
        written: set[int] = set()
        for name, tensor in _arguments(args, kwargs):
            storage = _storage(tensor)
            taken.append(storage)
            if tensor.requires_grad and tensor.is_leaf:
                known.pop(storage, None)
                continue
            if name not in plan.outputs:
                producers.add(known.get(storage, 0))
            if name in plan.written:
                written.add(storage)
        made = {_storage(tensor) for tensor in _tensors(result)}.difference(taken)
        producer = known.get(taken[0], 0) if plan.hands_on and taken else slot
        known.update(dict.fromkeys(made, producer))
        known.update(dict.fromkeys(written, slot))
        known[0] = 0
        self._looked += 1
        if slot:
            self._tally.look(slot, producers - {0})

    def _end_burst(self) -> None:
        if self._looked >= ENOUGH:
            self._gap *= 2
        self.begin = self.calls + self._gap
        self._end = self.begin + BURST


class _Producers(threading.local):
    """The calling thread's producers: address of a storage -> slot, 0 where that is not known."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self._begin = 0

    def since(self, begin: int) -> dict[int, int]:
        """Those that the burst which begins after ``begin`` calls has seen."""
        if self._begin != begin:
            self._begin = begin
            self.known.clear()
        return self.known


def _arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[int | str, torch.Tensor]]:
    """Each tensor among the arguments, with the place or name of the argument it is in."""
    for values in (enumerate(args), kwargs.items()):
        for name, value in values:
            for tensor in _tensors(value):
                yield name, tensor


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _storage(tensor: torch.Tensor) -> int:
    """The address of what holds the tensor's data; 0 where nothing does (sparse tensors)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0
