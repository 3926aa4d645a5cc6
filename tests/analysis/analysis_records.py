"""Builders of workload records for the tests of analysis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord

WINDOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def conv2d(
    size: int | tuple[int, int],
    in_channels: int = 16,
    out_channels: int = 32,
    kernel: int = 3,
    **more: Any,
) -> OpCall:
    """A size-keeping 2-D convolution unless ``more`` says otherwise."""
    signature = {key: more.pop(key) for key in ("dtype", "phase") if key in more}
    attributes = {
        "batch": 1,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "input_size": (size, size) if isinstance(size, int) else size,
        "kernel_size": (kernel, kernel),
        "stride": (1, 1),
        "padding": (kernel // 2, kernel // 2),
        "dilation": (1, 1),
        "output_padding": (0, 0),
        "groups": 1,
        "bias": True,
        **more,
    }
    return OpCall.create("convolution", "conv2d", attributes, **signature)


def conv1d(length: int) -> OpCall:
    """A 1-D convolution."""
    one = {
        name: (value,)
        for name, value in {
            "input_size": length,
            "kernel_size": 3,
            "stride": 1,
            "padding": 1,
            "dilation": 1,
            "output_padding": 0,
        }.items()
    }
    channels = {"batch": 1, "in_channels": 4, "out_channels": 4, "groups": 1, "bias": True}
    return OpCall.create("convolution", "conv1d", {**channels, **one})


def record(call: OpCall, calls: int = 1, **more: Any) -> WorkloadRecord:
    """A record of one application on one host in one window, unless ``more`` says otherwise."""
    fields: dict[str, Any] = {
        "name": f"aten::{call.kind}",
        "app": "app",
        "host": "host",
        "window_start": WINDOW,
        "window_seconds": 60.0,
        **more,
    }
    return WorkloadRecord(call=call, calls=calls, **fields)
