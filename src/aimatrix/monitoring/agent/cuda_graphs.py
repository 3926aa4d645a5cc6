"""Counts what CUDA graphs do: the operators of their capture, at each replay.

At its capture a graph executes nothing, and its replay calls no operator.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch

from .regions import Regions

#: on a graph: the region that it stands for, and while it is captured, the capturing thread
REGION = "_aimatrix_region"
THREAD = "_aimatrix_thread"


def follow(regions: Regions) -> None:
    """Have the graphs of this process counted from now on."""
    graph = getattr(torch.cuda, "CUDAGraph", None)
    for name, around in (
        ("capture_begin", _around_begin),
        ("capture_end", _around_end),
        ("replay", _around_replay),
    ):
        original = getattr(graph, name, None)
        if original is not None:
            setattr(graph, name, around(original, regions))


def _around_begin(original: Callable[..., Any], regions: Regions) -> Callable[..., Any]:
    @functools.wraps(original)
    def capture_begin(graph: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(graph, *args, **kwargs)
        setattr(graph, THREAD, threading.get_ident())
        regions.begin()
        return result

    return capture_begin


def _around_end(original: Callable[..., Any], regions: Regions) -> Callable[..., Any]:
    @functools.wraps(original)
    def capture_end(graph: Any, *args: Any, **kwargs: Any) -> Any:
        # a recording is of its thread; torch, too, wants a capture to end where it began
        is_ours = graph.__dict__.pop(THREAD, None) == threading.get_ident()
        region = regions.end() if is_ours else -1
        result = original(graph, *args, **kwargs)
        setattr(graph, REGION, region)
        return result

    return capture_end


def _around_replay(original: Callable[..., Any], regions: Regions) -> Callable[..., Any]:
    @functools.wraps(original)
    def replay(graph: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(graph, *args, **kwargs)
        region = getattr(graph, REGION, -1)
        if region >= 0:
            regions.run(region)
        return result

    return replay
