"""The agent's profiler windows: on the CPU, where torch records operators but no kernels.

Each program stands for an application that has just begun to use CUDA: `PREAMBLE` says so to the
windows and takes away what only a GPU has. Paths on a real GPU: ``benchmarks/cuda_warps.sh``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from aimatrix.dialects import aten
from aimatrix.importers import kineto
from aimatrix.monitoring.agent.trace_files import SCHEMAS, TRACE

PREAMBLE = """
import os, sys, threading, warnings
import torch
from aimatrix.monitoring.agent import warps
torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="CUDA is not available")
warps._why_not = lambda: ""
torch.cuda.is_current_stream_capturing = lambda: False
torch.cuda._lazy_call = lambda begin: begin()
windows = warps.WarpWindows(sys.argv[1])
windows.start()
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
rows = torch.ones(3, 4)
call_impl, backward = torch.nn.Module._call_impl, torch.autograd.backward
"""


def run(tmp_path: Path, program: str, *, may_say: str = "") -> str:
    """Run a program; what it printed. It must end well; standard error has ``may_say`` alone."""
    path = tmp_path / "program.py"
    path.write_text(PREAMBLE + textwrap.dedent(program))
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), str(spool)],
        capture_output=True,
        text=True,
        env={"KINETO_LOG_LEVEL": "99", "PATH": ""},
        timeout=120,
    )
    said = [line for line in done.stderr.splitlines() if not may_say or may_say not in line]
    assert (done.returncode, said) == (0, [])
    return done.stdout


def traced(tmp_path: Path) -> list[Counter[str]]:
    """The outermost operators of each trace in the spool."""
    found = []
    for path in sorted((tmp_path / "spool").glob(f"*{TRACE}")):
        schemas = kineto.stored_schemas(Path(str(path).replace(TRACE, SCHEMAS)))
        trace = kineto.read(path, schemas, aten.ATTRIBUTES)
        assert trace.unread == 0
        found.append(Counter(call.raw.name for call in trace.calls for _ in range(call.calls)))
    return found


LINEARS = {"aten::linear": 2, "aten::relu": 1}


def test_the_fourth_call_of_a_model_is_recorded_and_nothing_is_left_behind(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        for index in range(6):
            torch.sigmoid(model(rows))
            print(len(os.listdir(sys.argv[1])), end=" ")
        print(torch.nn.Module._call_impl is not call_impl, torch.autograd._profiler_enabled())
        """,
    )
    assert out == "0 0 0 2 2 2 True False\n"  # a trace and its schemas
    assert traced(tmp_path) == [LINEARS]
    for path in (tmp_path / "spool").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_a_backward_pass_is_recorded_with_its_phase(tmp_path: Path) -> None:
    run(tmp_path, "for _ in range(5): model(rows).sum().backward()")
    phases = set()
    for path in (tmp_path / "spool").glob(f"*{TRACE}"):
        schemas = kineto.stored_schemas(Path(str(path).replace(TRACE, SCHEMAS)))
        for call in kineto.read(path, schemas, aten.ATTRIBUTES).calls:
            phases.add((call.raw.phase, call.raw.name))
    assert ("forward", "aten::linear") in phases
    assert ("backward", "aten::mm") in phases


def test_a_window_ends_with_a_call_that_raises(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        for _ in range(4):
            try:
                model(torch.ones(3, 5))
            except RuntimeError as error:
                reason = error
        print("shapes cannot" in str(reason), torch.autograd._profiler_enabled())
        """,
    )
    assert out == "True False\n"


def test_results_are_those_of_a_run_without_windows(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        outputs = [model(rows) for _ in range(6)]
        print(all(torch.equal(each, outputs[0]) for each in outputs))
        """,
    )
    assert out == "True\n"


def test_a_model_in_a_thread_is_recorded_there(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        def serve():
            for _ in range(4):
                model(rows)
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
        """,
        may_say="External init callback",  # torch's, of any first profiler outside the main thread
    )
    assert traced(tmp_path) == [LINEARS]


def test_the_end_of_a_window_waits_for_the_gpus_in_use_and_no_others(tmp_path: Path) -> None:
    """Also when one of them has failed: the recording has to end, and the failure is not ours."""
    out = run(
        tmp_path,
        """
        def wait(device):
            print(device, end=" ")
            if device == 2:
                raise RuntimeError("a device-side assert of the application")
        torch.cuda.device_count = lambda: 4
        torch._C._cuda_hasPrimaryContext = lambda device: device in (0, 2)
        torch.cuda.synchronize = wait
        for _ in range(5):
            model(rows)
        print(torch.autograd._profiler_enabled())
        """,
    )
    assert out == "0 2 False\n"
    assert traced(tmp_path) == [LINEARS]


def test_a_rank_of_a_distributed_job_has_no_windows(tmp_path: Path) -> None:
    """Each would wait for its GPU, which may wait for what the other has not sent yet."""
    run(
        tmp_path,
        """
        torch.distributed.is_initialized = lambda: True
        for _ in range(6):
            model(rows)
        """,
    )
    assert traced(tmp_path) == []


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_profiler_of_the_application_wins(tmp_path: Path, where: str) -> None:
    """It sees all that it would see without us, and from then on there are no windows."""
    out = run(
        tmp_path,
        f"""
        from torch.profiler import ProfilerActivity, profile
        def user():
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                torch.relu(torch.sigmoid(rows))
            seen = {{event.key for event in profiler.key_averages()}}
            print(sorted(seen & {{"aten::relu", "aten::sigmoid"}}))
        class Profiled(torch.nn.Module):
            def forward(self, rows):
                user()
                return torch.tanh(rows)
        where = "{where}"
        if where == "before":
            user()
        for _ in range(3):
            model(rows)
        if where == "inside":
            Profiled()(rows)
        else:
            model(rows)
        if where == "after":
            user()
        windows.begin()
        for _ in range(5):
            model(rows)
        print(torch.autograd._profiler_enabled())
        """,
    )
    assert out == "['aten::relu', 'aten::sigmoid']\nFalse\n"
    assert traced(tmp_path) == ([LINEARS] if where == "after" else [])


def test_a_profiler_in_another_thread_waits_for_the_end_of_a_window(tmp_path: Path) -> None:
    """Started within ours, torch would crash when ours ends."""
    out = run(
        tmp_path,
        """
        from torch.profiler import ProfilerActivity, profile
        opened, waited = threading.Event(), []
        class Slow(torch.nn.Module):
            def forward(self, rows):
                opened.set()
                user.join(0.5)
                waited.append(user.is_alive())
                return torch.tanh(rows)
        def profiled():
            opened.wait()
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                torch.relu(rows)
            print("aten::relu" in {event.key for event in profiler.key_averages()})
        user = threading.Thread(target=profiled)
        user.start()
        for _ in range(3):
            model(rows)
        Slow()(rows)
        user.join()
        print(waited)
        """,
    )
    assert out == "True\n[True]\n"


def test_a_window_that_its_own_thread_holds_up_is_given_up(tmp_path: Path) -> None:
    """A model that waits for a thread which profiles must not wait for ever."""
    out = run(
        tmp_path,
        """
        from torch.profiler import ProfilerActivity, profile
        warps.LONGEST_WAIT = 0.2
        sys.__stderr__ = sys.stdout
        def profiled():
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                torch.relu(rows)
            print("aten::relu" in {event.key for event in profiler.key_averages()})
        class Waiting(torch.nn.Module):
            def forward(self, rows):
                for _ in range(2):
                    user = threading.Thread(target=profiled)
                    user.start()
                    user.join()
                return torch.tanh(rows)
        for _ in range(3):
            model(rows)
        Waiting()(rows)
        sys.stdout.flush()
        os._exit(0)  # torch would say more of the window that is still open
        """,
        may_say="no active profiling session",
    )
    assert out.splitlines()[-2:] == ["True", "True"]
    assert "is given up" in out


def test_what_torch_compiles_is_compiled_as_without_us(tmp_path: Path) -> None:
    """Compiled before, during and after the time when a window is awaited: the same graphs."""
    program = """
        from torch._dynamo.utils import counters
        windows._stop()
        windows._over = False
        def compiled(width):
            module = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU())
            in_place = torch.nn.Sequential(torch.nn.Linear(4, width + 1), torch.nn.ReLU())
            in_place.compile(backend="eager")
            function = torch.compile(lambda x: module(x) + 1, backend="eager", fullgraph=True)
            return [torch.compile(module, backend="eager"), in_place, function]
        def graphs(functions):
            for _ in range(4):
                for function in functions:
                    function(rows)
            print(dict(counters["stats"]), dict(counters["graph_break"]))
        early = compiled(4)
        graphs(early)
        if armed:
            windows._arm(7)
        late = compiled(6)
        graphs(early + late)
        windows._stop()
        graphs(early + late)
        """
    plain, armed = (
        run(tmp_path, f"armed = {armed}\n{textwrap.dedent(program)}") for armed in (False, True)
    )
    assert plain == armed
    assert "'unique_graphs'" in plain
    assert len(traced(tmp_path)) == 1


def test_a_forked_child_has_windows_of_its_own(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        model(rows)
        child = os.fork()
        if child == 0:
            assert torch.nn.Module._call_impl.__name__ == "_call_impl"
            model(rows)
            windows.begin()
            for _ in range(4):
                model(rows)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        for _ in range(3):
            model(rows)
        """,
    )
    assert traced(tmp_path) == [LINEARS, LINEARS]


def test_a_trace_that_cannot_be_kept_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        sys.__stderr__ = sys.stdout
        warps.LARGEST_TRACE = 10
        for _ in range(5):
            model(rows)
        windows._arm(0)
        for _ in range(5):
            model(rows)
        """,
    )
    assert out.count("aimatrix: warps are measured no more") == 1
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("cuda", "environment", "says"),
    [
        (None, {}, "no CUDA"),
        ("12.4", {}, "12.4 is not safe"),
        ("13.0", {"CUDA_INJECTION64_PATH": "/nsight.so"}, "another profiler"),
        ("13.0", {}, ""),
    ],
)
def test_there_are_no_windows_where_they_could_do_harm(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cuda: str | None,
    environment: dict[str, str],
    says: str,
) -> None:
    from aimatrix.monitoring.agent import warps

    monkeypatch.setattr("torch.version.cuda", cuda)
    monkeypatch.setattr("torch.cuda._lazy_call", lambda begin: None)
    monkeypatch.setattr(warps.WarpWindows, "_give_way_to_profilers", lambda windows: None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    reason = warps.WarpWindows(str(tmp_path)).start()
    assert says in reason
    assert bool(says) == bool(reason)


def test_schemas_are_written_as_the_reader_reads_them(tmp_path: Path) -> None:
    from aimatrix.monitoring.agent.warps import schemas

    path = tmp_path / "schemas.json"
    path.write_text(json.dumps(schemas({"aten::conv2d", "aten::add", "no::such", "a mark"})))
    stored = kineto.stored_schemas(path)
    for name in ("aten::conv2d", "aten::add", "no::such"):
        assert list(stored(name)) == list(kineto.installed_schemas(name))
