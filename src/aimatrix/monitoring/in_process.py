"""Records the operator calls of a piece of code of ours in this process, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from aimatrix.dialects.raw import RawCall, from_json
from aimatrix.monitoring.agent.capture import NO_WORK


class _Recording:
    """A tally that keeps each call instead of counting it."""

    def __init__(self) -> None:
        self.calls: list[RawCall] = []
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
        call = self._known[slot]
        if call is not None:
            self.calls.append(call)


def record_calls(
    run: Callable[[], object], attributes: Mapping[str, Sequence[str]]
) -> list[RawCall]:
    """Run ``run`` and return what it called, as `run_monitored` would have counted it.

    attributes: operator name (``aten::convolution``) -> arguments besides tensors to keep.
    Needs torch. What ``run`` raises is passed on.
    """
    from aimatrix.monitoring.agent.dispatch import DispatchCapture

    recording = _Recording()
    capture = DispatchCapture(attributes, recording)
    capture.start()
    try:
        run()
    finally:
        capture.stop()
    return recording.calls


def record_application(
    function: Callable[..., object], inputs: Sequence[Any], attributes: Mapping[str, Sequence[str]]
) -> list[RawCall]:
    """As `record_calls`, of ``function(*inputs)`` the way backends run it.

    A module runs for inference, set to eval, and stays so: dropped paths and training branches call
    others. Another callable is a program of its own, which may train: it runs as it is, and is
    recorded the second time, when what it sets up is there.
    """
    import torch

    if not isinstance(function, torch.nn.Module):
        function(*inputs)
        return record_calls(lambda: function(*inputs), attributes)
    function.eval()
    with torch.inference_mode():
        return record_calls(lambda: function(*inputs), attributes)
