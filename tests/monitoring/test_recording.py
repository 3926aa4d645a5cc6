"""From counts to records, and the calls of one's own code in their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import Run, WindowCount, record_calls, to_pair_records, to_records

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def translate(raw: RawCall) -> OpCall:
    return OpCall.create("elementwise", raw.name.rstrip("_"), {}, phase=raw.phase)


def count(name: str, calls: int, start: datetime = NOON) -> WindowCount:
    return WindowCount(RawCall(name), calls, start, 60.0)


def test_equal_signatures_of_several_processes_become_one_record() -> None:
    later = NOON + timedelta(seconds=60)
    found = to_records(
        [count("a", 1), count("a", 2), count("a_", 4), count("a", 8, later)],
        translate,
        Run("shop", "h", 60.0),
    )
    rows = [(record.name, record.window_start, record.calls) for record in found]
    assert rows == [("a", NOON, 3), ("a_", NOON, 4), ("a", later, 8)]
    assert {(record.app, record.host, record.window_seconds) for record in found} == {
        ("shop", "h", 60.0)
    }


def test_estimates_and_times_of_several_processes_are_added_up() -> None:
    parts = [
        replace(count("a", 10), estimated_calls=4, time_ns=100),
        replace(count("a", 5), time_ns=50),
        replace(count("a", 2), estimated_calls=1),
    ]
    found = to_records(parts, translate, Run("shop", "h", 60.0))
    # a time is that of all calls of its record: those that no one timed stay apart
    rows = [(record.calls, record.estimated_calls, record.time_ns) for record in found]
    assert rows == [(15, 4, 150), (2, 1, None)]


def test_calls_are_recorded_in_their_order_and_only_while_running() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 3)

    def run() -> None:
        torch.relu(x)
        torch.softmax(x, 1)
        torch.relu(x)

    calls = record_calls(run, {"aten::_softmax": ["dim"]})
    assert [call.name for call in calls] == ["aten::relu", "aten::_softmax", "aten::relu"]
    assert calls[1].arguments == {"self": TensorArg((2, 3)), "dim": 1}
    torch.relu(x)
    assert len(calls) == 3


def test_what_the_code_raises_is_passed_on_and_recording_ends() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ZeroDivisionError):
        record_calls(lambda: 1 / 0, {})
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_recording_leaves_torch_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    places = vars(torch._C), vars(torch._C.ScriptModule)
    before = [{key: value for key, value in place.items() if "trac" in key} for place in places]
    record_calls(lambda: torch.relu(torch.ones(2)), {})
    after = [{key: value for key, value in place.items() if "trac" in key} for place in places]
    assert after == before


def test_pairs_of_several_processes_are_added_up_and_views_left_out() -> None:
    producer, view = RawCall("p"), RawCall("v")

    def translated(raw: RawCall) -> OpCall:
        return OpCall.create("movement", "view", {}) if raw is view else translate(raw)

    found = to_pair_records(
        [
            replace(count("c", 10), producers=((producer, 2.4), (view, 5.0))),
            replace(count("c_", 10), producers=((producer, 2.4),)),
            replace(count("d", 10), producers=((producer, 0.1),)),
        ],
        translated,
        Run("shop", "h", 60.0),
    )
    assert [(pair.consumer.kind, pair.calls, pair.source) for pair in found] == [
        ("c", 5, "torch"),
        ("d", 1, "torch"),  # what was seen is more than nothing
    ]


def test_pairs_inside_of_what_a_call_stands_for_count_with_it() -> None:
    parts = (RawCall("a", dialect="onnx"), 1), (RawCall("b", dialect="onnx"), 4)
    whole = replace(count("run", 7), raw=RawCall("run", parts=parts, pairs=((0, 1, 3),)))
    [pair] = to_pair_records([whole], translate, Run("shop", "h", 60.0))
    kinds = pair.producer.kind, pair.consumer.kind
    assert (*kinds, pair.calls, pair.source) == ("a", "b", 21, "onnxruntime")
