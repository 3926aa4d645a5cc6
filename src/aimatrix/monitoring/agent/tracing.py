"""Takes the dispatch mode off its thread while torch traces a function (``torch.jit.trace``).

The tracer records what runs below any dispatch mode without the values it came from, and bakes
them into the graph as constants: the traced function would be wrong. What runs in a trace is
therefore not counted. The legacy ONNX export traces as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_TRACERS = (
    (torch._C.ScriptModule, "_create_method_from_trace"),
    (torch._C.ScriptModule, "_create_method_from_trace_with_dict"),
    (torch._C, "_create_function_from_trace"),
    (torch._C, "_create_function_from_trace_with_dict"),
    (torch._C, "_create_graph_by_tracing"),
)


class TracingGuard:
    """Calls ``leave`` before torch traces and, if that returned True, ``enter`` afterwards.

    Both are called in the thread that traces, and must not raise.
    """

    def __init__(self, enter: Callable[[], None], leave: Callable[[], bool]) -> None:
        self._enter = enter
        self._leave = leave
        self._wrapped: list[tuple[Any, str, Any, Any]] = []

    def start(self) -> None:
        """Guard what is traced from now on."""
        for owner, name in _TRACERS:
            original = vars(owner).get(name)
            if original is not None:  # not in every torch
                ours = self._around(getattr(owner, name))
                setattr(owner, name, ours)
                self._wrapped.append((owner, name, original, ours))

    def stop(self) -> None:
        """Guard no more, unless someone has wrapped our wrapper: then it stays."""
        for owner, name, original, ours in self._wrapped:
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        self._wrapped.clear()

    def _around(self, trace: Callable[..., Any]) -> Callable[..., Any]:
        enter, leave = self._enter, self._leave

        def traced(*args: Any, **kwargs: Any) -> Any:
            left = leave()
            try:
                return trace(*args, **kwargs)
            finally:
                if left:
                    enter()

        return traced
