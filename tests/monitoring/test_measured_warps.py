"""What `aimatrix monitor --warps` makes of the traces that windows leave in the spool."""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from aimatrix import api
from aimatrix.api import watching
from aimatrix.dialects import aten
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.importers import kineto
from aimatrix.importers.kineto import TracedCall
from aimatrix.monitoring import MeasuredWarps
from aimatrix.monitoring.agent.trace_files import SCHEMAS, TRACE
from aimatrix.monitoring.agent.warps import schemas
from aimatrix.store.workload import WorkloadStore


def relu(size: int = 4) -> RawCall:
    return RawCall("aten::relu", {"self": TensorArg((size, size), device="cuda")})


class Windows:
    """Stands for the reader of traces: each file's content names the calls in it."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.measured = MeasuredWarps(spool, self._read, aten.translate)
        self._calls: dict[str, list[TracedCall]] = {}

    def add(self, *calls: TracedCall) -> None:
        stem = f"7-{len(self._calls)}"
        self._calls[stem] = list(calls)
        (self.spool / (stem + SCHEMAS)).write_text("{}")
        (self.spool / (stem + TRACE)).write_text("{}")

    def of(self, raw: RawCall) -> int | None:
        self.measured.collect()
        return self.measured.of(aten.translate(raw))

    def _read(self, trace: Path, schemas: Path) -> list[TracedCall]:
        assert schemas.exists()
        return self._calls[trace.name.removesuffix(TRACE)]


@pytest.fixture
def windows(tmp_path: Path) -> Windows:
    return Windows(tmp_path)


def test_nothing_is_measured_before_the_first_window(windows: Windows) -> None:
    assert windows.of(relu()) is None
    windows.add(TracedCall(relu(), 3, 16, outermost=True))
    assert windows.of(relu()) == 16
    assert windows.of(relu(8)) is None
    assert list(windows.spool.iterdir()) == []


def test_equal_calls_have_the_median_of_all_windows(windows: Windows) -> None:
    """One that tried its algorithms out does not move it, and no two are added up."""
    windows.add(TracedCall(relu(), 1, 900, outermost=True))
    windows.add(TracedCall(relu(), 2, 16, outermost=True))
    assert windows.of(relu()) == 16


def test_a_call_that_launched_nothing_is_not_measured_as_none(windows: Windows) -> None:
    windows.add(TracedCall(relu(), 5, None, outermost=True))
    assert windows.of(relu()) is None


def test_a_call_inside_others_counts_where_there_is_no_outermost_one(windows: Windows) -> None:
    windows.add(TracedCall(relu(), 9, 8, outermost=False), TracedCall(relu(8), 1, 32, False))
    windows.add(TracedCall(relu(), 1, 16, outermost=True))
    assert windows.of(relu()) == 16
    assert windows.of(relu(8)) == 32


def test_a_damaged_trace_is_told_in_one_line_and_removed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"1-1{TRACE}").write_text('{"traceEv')
    (tmp_path / f"1-1{SCHEMAS}").write_text("{}")
    (tmp_path / f"1-2{TRACE}.tmp").write_text("being written")
    measured = MeasuredWarps(tmp_path, watching._traced, aten.translate)
    measured.collect()
    measured.collect()
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert "not a whole torch.profiler trace" in told[0]
    assert [path.name for path in tmp_path.iterdir()] == [f"1-2{TRACE}.tmp"]


PROGRAM = """
import os, shutil, sys
import torch
convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
with torch.inference_mode():
    for _ in range(3):
        convolution(torch.ones(2, 3, 16, 16))
        torch.relu(torch.ones(5))
for name in os.listdir(sys.argv[1]):  # as a window would have left them
    shutil.copy(os.path.join(sys.argv[1], name), os.environ["AIMATRIX_SPOOL"])
"""


def convolution_trace() -> dict[str, object]:
    """The convolution of PROGRAM on a GPU: 32 blocks of 100 threads."""
    place = {"ph": "X", "pid": 1, "tid": 1}
    sides, tensors = ["[1, 1]", "[1, 1]", "[1, 1]"], [[2, 3, 16, 16], [8, 3, 3, 3], [8]]
    operator = {
        "External id": 5,
        "Input type": [*["float"] * 3, *["ScalarList"] * 3, "Scalar"],
        "Input Dims": [*tensors, [], [], [], []],
        "Concrete Inputs": ["", "", "", *sides, "1"],
    }
    kernel = {"External id": 5, "correlation": 9, "grid": [4, 8, 1], "block": [100, 1, 1]}
    events = [
        {**place, "cat": "cpu_op", "name": "aten::conv2d", "ts": 1.0, "dur": 9, "args": operator},
        {**place, "cat": "kernel", "name": "implicit_gemm", "ts": 50, "dur": 1, "args": kernel},
    ]
    return {"schemaVersion": 1, "traceEvents": events}


def test_a_run_logs_what_its_windows_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    (left / f"7-7{SCHEMAS}").write_text(json.dumps(schemas({"aten::conv2d"})))
    (left / f"7-7{TRACE}").write_text(json.dumps(convolution_trace()))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # the program's tensors are on the CPU here
    monkeypatch.setattr(kineto, "read", partial(kineto.read, device="cpu"))
    monkeypatch.setattr("torch.version.cuda", None)
    code = api.monitor([sys.executable, str(program), str(left)], store=tmp_path / "s", warps=True)
    records = {record.call.kind: record for record in WorkloadStore(tmp_path / "s").totals()}
    assert code == 0
    assert (records["conv2d"].calls, records["conv2d"].warps) == (3, 32 * 4)
    assert (records["relu"].calls, records["relu"].warps) == (3, None)
    told = [line for line in capfd.readouterr().err.splitlines() if "warps" in line]
    assert len(told) == 1
    assert told[0].startswith("aimatrix: warps are not measured: ")


WINDOWED = """
import os, warnings
import torch
from _aimatrix_agent import warps
warnings.filterwarnings("ignore", message="CUDA is not available")
torch.cuda.is_current_stream_capturing = lambda: False
windows = warps.WarpWindows(os.environ["AIMATRIX_SPOOL"])
windows.begin()  # as if this torch had just begun to use CUDA
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
for _ in range(10):
    model(torch.ones(3, 4))
"""


@pytest.mark.parametrize("capture", ["native", "dispatch"])
def test_a_window_changes_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(WINDOWED)
    read: list[TracedCall] = []

    def keep(trace: Path, schemas: Path) -> list[TracedCall]:
        read.extend(kineto.read(trace, kineto.stored_schemas(schemas), aten.ATTRIBUTES).calls)
        return read

    monkeypatch.setattr(watching, "_traced", keep)
    start = partial(watching.run_monitored, capture=capture)
    monkeypatch.setattr(watching, "run_monitored", start)
    api.monitor([sys.executable, str(program)], store=tmp_path / "s", warps=True)
    traced = Counter(call.raw.name for call in read for _ in range(call.calls))
    assert traced == {"aten::linear": 2, "aten::tanh": 1}
    totals = WorkloadStore(tmp_path / "s").totals()
    assert sum(record.calls for record in totals if record.call.kind == "tanh") == 10
    assert sum(record.calls for record in totals if record.call.family == "matmul") == 20


def test_without_the_option_no_warps_are_logged(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert api.monitor([sys.executable, str(program), str(left)], store=tmp_path / "s") == 0
    assert {record.warps for record in WorkloadStore(tmp_path / "s").totals()} == {None}
