"""Measures what a dispatch mode adds to an operator, with small operators of its own.

Torch enters a mode at different cost for different kinds of calls: an operator of which gradients
will be wanted costs twice one without. Nothing of the application takes part: no module, optimizer
or random number, and the thread that measures is ours. A backward pass is measured only for who
runs some: the first one starts threads of autograd, after which a fork may not run any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch.utils import _python_dispatch as modes

from .dispatch_sampling import Meter

ONE, TWO, MORE = "of one tensor", "of two tensors", "of more tensors"
TRACKED, BACKWARD, UPDATE = "tracked", "backward", "update"
#: what a call of ours costs at least, in ns: whatever is measured
_LEAST = 1000.0
_ROUNDS, _CALLS, _LAYERS = 11, 120, 15


def kind_of(phase: str, args: Sequence[Any]) -> str:
    """To which of the kinds a call belongs."""
    if phase == "backward":
        return BACKWARD
    if phase == "optimizer":
        return UPDATE
    tensors = [each for each in args if isinstance(each, torch.Tensor)]
    if torch.is_grad_enabled() and any(each.requires_grad for each in tensors):
        return TRACKED
    return (ONE, ONE, TWO, MORE)[min(len(tensors), 3)]


def besides_slot_ns(kind: str, mode: Any, meter: Meter) -> float:
    """Processor time that ``mode`` adds to a call, but for finding the call's slot."""
    run = _Programs().of(kind)
    run()
    events, added = 0, []
    for _ in range(_ROUNDS):
        without = run()
        before = meter.events
        modes._push_mode(mode)
        try:
            with_mode = run()
        finally:
            modes._pop_mode()
        events = meter.events - before
        added.append(with_mode - without)
    return max(median(added) / max(events, 1) - meter.slot_ns(), _LEAST)


class _Programs:
    """Each gives the processor time that the part of interest took."""

    def __init__(self) -> None:
        self._x = torch.ones(4, 8, dtype=torch.float32, device="cpu")
        # each layer has its own, as in a model: to hand each its gradient costs as well
        self._weights = [self._parameter(8, 8) for _ in range(_LAYERS)]
        self._biases = [self._parameter(8) for _ in range(_LAYERS)]

    def of(self, kind: str) -> Callable[[], int]:
        programs = {
            ONE: lambda: self._plain(torch.relu, self._x),
            TWO: lambda: self._plain(torch.add, self._x, self._x),
            MORE: lambda: self._plain(torch.addcmul, self._x, self._x, self._x),
            TRACKED: self._tracked,
            BACKWARD: self._backward,
            UPDATE: self._update,
        }
        return programs[kind]

    def _plain(self, operator: Callable[..., Any], *tensors: torch.Tensor) -> int:
        begin = time.thread_time_ns()
        for _ in range(_CALLS):
            operator(*tensors)
        return time.thread_time_ns() - begin

    def _tracked(self) -> int:
        begin = time.thread_time_ns()
        self._layers()
        return time.thread_time_ns() - begin

    def _backward(self) -> int:
        end: Any = self._layers().sum()
        begin = time.thread_time_ns()
        end.backward()
        taken = time.thread_time_ns() - begin
        for parameter in (*self._weights, *self._biases):
            parameter.grad = None
        return taken

    def _update(self) -> int:
        begin = time.thread_time_ns()
        with torch.no_grad():
            for _ in range(_CALLS):
                self._x.add_(self._x, alpha=0.0)
        return time.thread_time_ns() - begin

    def _layers(self) -> torch.Tensor:
        y = self._x
        for weight, bias in zip(self._weights, self._biases):  # noqa: B905 - not in Python 3.9
            y = torch.relu(torch.nn.functional.linear(y, weight, bias))
        return y

    def _parameter(self, *shape: int) -> torch.Tensor:
        return torch.ones(shape, dtype=torch.float32, device="cpu").requires_grad_()
