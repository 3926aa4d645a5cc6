"""A stage's time in ONNX Runtime is that of its operators, as its own profile tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aimatrix.backends.onnx_runtime_profile import own_share


def event(name: str, start: int, duration: int, operator: str = "") -> dict[str, Any]:
    args = {"op_name": operator} if operator else {}
    return {"cat": "Node", "name": name, "ts": start, "dur": duration, "args": args}


def run(start: int, whole: int, operators: int, layout: int) -> list[dict[str, Any]]:
    """The events of one run: inner ones come first, as they end first."""
    return [
        event("ReorderInput_kernel_time", start, layout, "ReorderInput"),
        event("conv_kernel_time", start + layout, operators - layout, "Conv"),
        event("SequentialExecutor::Execute", start, operators),
        event("model_run", start, whole),
    ]


def share_of(folder: Path, events: list[dict[str, Any]]) -> float:
    path = folder / "profile.json"
    path.write_text(json.dumps([event("session_initialization", 0, 9), *events]))
    return own_share(path)


def test_entering_and_changing_the_layout_at_the_ends_are_not_the_stages(tmp_path: Path) -> None:
    runs = [*run(10, 9000, 8000, 7000), *run(10_000, 100, 90, 20), *run(20_000, 100, 80, 30)]
    assert share_of(tmp_path, runs) == pytest.approx((90 - 20 + 80 - 30) / 200)


def test_a_stage_without_operators_takes_nothing(tmp_path: Path) -> None:
    assert share_of(tmp_path, [*run(10, 9, 0, 0), *run(20, 9, 0, 0)]) == 0


def test_a_profile_that_tells_nothing_changes_nothing(tmp_path: Path) -> None:
    assert share_of(tmp_path, []) == 1
    assert share_of(tmp_path, run(10, 100, 90, 20)) == 1
    assert share_of(tmp_path, [event("model_run", 10, 5), event("model_run", 20, 5)]) == 1
