"""Operators and warps out of torch.profiler traces, made by hand and recorded on the CPU."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from kineto_traces import (
    BACKWARD_THREAD,
    NOTHING,
    TraceMaker,
    convolution,
    number,
    numbers,
    tensor,
)

from aimatrix.dialects import aten
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers import kineto
from aimatrix.importers.kineto import Trace, TracedCall
from aimatrix.monitoring import record_calls


def read(trace: TraceMaker) -> Trace:
    return kineto.read_events(trace.events, kineto.installed_schemas, aten.ATTRIBUTES)


def outermost(trace: Trace) -> list[TracedCall]:
    return [call for call in trace.calls if call.outermost]


def warps(trace: Trace) -> dict[str, int | None]:
    """Of one call of each outermost operator, by name."""
    return {call.raw.name: call.warps for call in outermost(trace)}


@pytest.mark.parametrize("linked", [True, False], ids=["by External id", "by time"])
def test_an_operator_has_the_warps_of_all_kernels_below_it(linked: bool) -> None:
    trace = TraceMaker(linked=linked)
    for _ in range(3):
        convolution(trace, grid=[16, 2, 1])
    (call,) = outermost(read(trace))
    # 32 blocks of 128 threads, and 128 blocks of 64 x 2
    assert (call.raw.name, call.calls, call.warps) == ("aten::conv2d", 3, 32 * 4 + 128 * 4)


def test_a_ragged_block_has_whole_warps() -> None:
    trace = TraceMaker()
    with trace.range("aten::relu", tensor(10)):
        trace.kernel([3, 2, 5], [33, 3, 1])
    assert warps(read(trace)) == {"aten::relu": 30 * 4}  # 99 threads are 4 warps


def test_a_call_is_spelled_as_a_capture_spells_it() -> None:
    trace = TraceMaker()
    convolution(trace, grid=[1, 1, 1], dtype="c10::Half")
    (call,) = outermost(read(trace))
    assert call.raw == RawCall(
        "aten::conv2d",
        {
            "input": TensorArg((8, 3, 32, 32), "float16", "cuda"),
            "weight": TensorArg((64, 3, 3, 3), "float16", "cuda"),
            "bias": TensorArg((64,), "float16", "cuda"),
            "stride": (1, 1),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
        },
    )
    assert aten.translate(call.raw)["padding"] == (1, 1)


def test_operators_inside_others_are_there_with_their_own_warps() -> None:
    trace = TraceMaker()
    convolution(trace, grid=[16, 2, 1])
    inner = {call.raw.name: call.warps for call in read(trace).calls if not call.outermost}
    assert inner == {
        "aten::convolution": 32 * 4 + 128 * 4,
        "aten::_convolution": 32 * 4 + 128 * 4,
        "aten::add_": 128 * 4,
    }


def test_phases_come_from_the_ranges_around_an_operator() -> None:
    trace = TraceMaker()
    matrix = tensor(64, 64)
    with trace.range("ProfilerStep#3", cat="user_annotation"):
        with trace.range("aten::mm", matrix, matrix):
            trace.kernel([1, 1, 1], [32, 1, 1])
        node = "autograd::engine::evaluate_function: MmBackward0"
        with (
            trace.range(node, thread=BACKWARD_THREAD),
            trace.range("MmBackward0", matrix, thread=BACKWARD_THREAD),
            trace.range("aten::mm", matrix, matrix, thread=BACKWARD_THREAD),
        ):
            trace.kernel([2, 1, 1], [32, 1, 1], thread=BACKWARD_THREAD)
        with (
            trace.range("Optimizer.step#SGD.step", cat="user_annotation"),
            trace.range("aten::add_", matrix, matrix, number(-0.1)),
        ):
            trace.kernel([4, 1, 1], [32, 1, 1], driver=True)
    found = {(call.raw.name, call.raw.phase): call.warps for call in read(trace).calls}
    assert found == {
        ("aten::mm", "forward"): 1,
        ("aten::mm", "backward"): 2,
        ("aten::add_", "optimizer"): 4,
    }


def test_copies_and_fills_are_no_warps_but_show_the_device() -> None:
    trace = TraceMaker()
    with trace.range("aten::_to_copy", tensor(10), *[NOTHING] * 4, number(False), NOTHING):
        trace.copy()
    with trace.range("aten::relu", tensor(10)):
        pass
    copied, on_cpu = outermost(read(trace))
    assert (copied.warps, copied.raw.arguments["self"].device) == (None, "cuda")
    assert (on_cpu.warps, on_cpu.raw.arguments["self"].device) == (None, "cpu")


def test_kernels_that_no_operator_launched_are_counted_apart() -> None:
    trace = TraceMaker()
    trace.graph_replay([8, 1, 1], [128, 1, 1])
    with trace.range("triton_poi_fused_add_0"):
        trace.kernel([1, 1, 1], [128, 1, 1])
    with trace.range("aten::relu", tensor(10)):
        trace.kernel([1, 1, 1], [32, 1, 1])
    found = read(trace)
    assert (found.kernels, found.unplaced_kernels) == (4, 3)
    assert warps(found) == {"aten::relu": 1}


def test_equal_calls_with_other_warps_stay_apart() -> None:
    trace = TraceMaker()
    for grid in ([1, 1, 1], [1, 1, 1], [9, 1, 1]):  # the last one is an algorithm on trial
        with trace.range("aten::relu", tensor(10)):
            trace.kernel(grid, [32, 1, 1])
    assert [(call.calls, call.warps) for call in read(trace).calls] == [(2, 1), (1, 9)]


def test_an_operator_whose_kernel_is_not_in_the_trace_has_no_warps() -> None:
    """The recording ended before the GPU had run it: what is there is not all."""
    trace = TraceMaker()
    with trace.range("aten::relu", tensor(10)):
        trace.kernel([1, 1, 1], [32, 1, 1])
        trace.kernel([7, 1, 1], [32, 1, 1])
    with trace.range("aten::sigmoid", tensor(10)):
        trace.kernel([2, 1, 1], [32, 1, 1])
    lost = next(e for e in trace.events if e.get("args", {}).get("grid") == [7, 1, 1])
    trace.events.remove(lost)
    assert warps(read(trace)) == {"aten::relu": None, "aten::sigmoid": 2}


def test_odd_events_are_passed_over_and_counted() -> None:
    trace = TraceMaker()
    with trace.range("aten::relu", tensor(10)):
        trace.kernel([1, 1, 1], [32, 1, 1])
    kernel = {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1, "dur": 1}
    trace.events += [
        7,
        {**kernel, "args": {"correlation": 1}},  # as ROCm writes them: without a grid
        {**kernel, "args": {"correlation": 1, "grid": [0, 1, 1], "block": [32, 1, 1]}},
        {**kernel, "args": {"correlation": 1, "grid": ["1", 1, 1], "block": [32, 1, 1]}},
        {"ph": "X", "cat": "cpu_op", "name": "aten::relu", "pid": 1, "tid": 1, "ts": "soon"},
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1},
    ]
    found = read(trace)
    assert found.odd_events == 6
    assert warps(found) == {"aten::relu": 1}


@pytest.mark.parametrize(("pads", "padding"), [(1, "same"), (0, "valid")])
def test_text_that_a_trace_leaves_out_is_found_further_in(pads: int, padding: str) -> None:
    """A trace has no ``padding="same"``, but the convolution that it becomes has numbers."""
    trace = TraceMaker()
    tensors = (tensor(1, 3, 16, 16), tensor(8, 3, 3, 3), tensor(8))
    ones = numbers(1, 1)
    named = (*tensors, ones, NOTHING, ones, number(1))
    with trace.range("aten::conv2d", *named), trace.range("aten::_convolution_mode", *named):
        sides = (ones, numbers(pads, pads), ones)
        inner = (*tensors, *sides, number(False), numbers(0, 0), number(1))
        with trace.range("aten::convolution", *inner):
            trace.kernel([4, 1, 1], [128, 1, 1])
    found = read(trace)
    (call,) = outermost(found)
    assert (call.raw.name, call.raw.overload, found.unread) == ("aten::conv2d", "padding", 0)
    assert call.raw.arguments["padding"] == padding
    assert aten.translate(call.raw)["padding"] == (pads, pads)


def test_an_operator_without_shapes_is_known_by_name_alone() -> None:
    trace = TraceMaker()
    with trace.range("aten::linear"), trace.range("aten::addmm"):
        trace.kernel([4, 1, 1], [128, 1, 1])
    found = read(trace)
    assert [(call.raw, call.warps) for call in found.calls] == [(RawCall("aten::linear"), 16)]
    assert found.unread == 1


def test_the_overload_is_the_one_that_takes_such_inputs() -> None:
    trace = TraceMaker()
    with trace.range("aten::add", tensor(10), tensor(10), number(1)):
        pass
    with trace.range("aten::add", tensor(10), number(2), number(1)):
        pass
    with trace.range("aten::sum", tensor(2, 3), numbers(1), number(False), NOTHING):
        pass
    calls = outermost(read(trace))
    assert [call.raw.overload for call in calls] == ["Tensor", "Scalar", "dim_IntList"]
    assert calls[2].raw.arguments["dim"] == (1,)


def test_lists_of_tensors_have_the_dtype_of_the_trace() -> None:
    trace = TraceMaker()
    with trace.range("aten::relu", tensor(4, dtype="c10::BFloat16")):
        trace.kernel([1, 1, 1], [32, 1, 1])
    with trace.range("aten::cat", ("TensorList", [[2, 4], [3, 4]], ""), number(0)):
        trace.kernel([1, 1, 1], [32, 1, 1])
    joined = next(call.raw for call in read(trace).calls if call.raw.name == "aten::cat")
    shapes = (TensorArg((2, 4), "bfloat16", "cuda"), TensorArg((3, 4), "bfloat16", "cuda"))
    assert joined.arguments == {"tensors": shapes, "dim": 0}


def test_files_may_be_gzipped(tmp_path: Path) -> None:
    trace = TraceMaker()
    convolution(trace, grid=[16, 2, 1])
    plain = trace.write(tmp_path / "trace.json")
    packed = tmp_path / "trace.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    of_plain, of_packed = (
        kineto.read(path, kineto.installed_schemas, aten.ATTRIBUTES) for path in (plain, packed)
    )
    assert of_plain == of_packed == read(trace)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"traceEvents": [{"ph": "X", "na', "not a whole torch.profiler trace"),
        (b"\x1f\x8b\x08\x00\x00", "not a whole torch.profiler trace"),
        (b"{}", "no traceEvents"),
        (b'{"traceEvents": {}}', "no traceEvents"),
        (b"7", "no traceEvents"),
    ],
)
def test_what_is_no_trace_is_told_in_one_sentence(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as raised:
        kineto.read(path, kineto.installed_schemas, {})
    assert str(path) in str(raised.value)


def test_schemas_come_from_the_file_beside_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "schemas.json"
    path.write_text(json.dumps({"my::op": [["out", [["self", "Tensor"], ["k", "int"]]]]}))
    lookup = kineto.stored_schemas(path)
    assert lookup("my::op") == [kineto.Schema("out", ("self", "k"), ("Tensor", "int"))]
    assert not lookup("my::other")
    path.write_text("[1]")
    with pytest.raises(InputError, match="no schemas"):
        kineto.stored_schemas(path)


def small_model() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 4 * 4, 10),
        torch.nn.LayerNorm(10),
        torch.nn.GELU(),
        torch.nn.Softmax(dim=1),
    ).eval()


def test_a_trace_recorded_here_tells_the_calls_that_a_capture_counts(tmp_path: Path) -> None:
    model, image = small_model(), torch.randn(2, 3, 16, 16)

    def run() -> None:
        torch.cat([model(image), model(image)])

    with torch.inference_mode():
        run()
        counted = record_calls(run, aten.ATTRIBUTES)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
        ) as profiler:
            run()
    path = tmp_path / "trace.json"
    profiler.export_chrome_trace(str(path))
    trace = kineto.read(path, kineto.installed_schemas, aten.ATTRIBUTES)
    assert (trace.kernels, trace.odd_events, trace.unread) == (0, 0, 0)
    traced: Counter[Any] = Counter()
    for call in outermost(trace):
        traced[aten.translate(call.raw)] += call.calls
    assert traced == Counter(map(aten.translate, counted))
