"""What the native capture does beyond the contract of all captures."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")


def test_outermost_operators_count_and_not_what_they_call(watch) -> None:
    outcome = watch("""
        import torch
        layer, recurrent = torch.nn.Linear(3, 4), torch.nn.LSTM(4, 5)
        output, _ = recurrent(layer(torch.randn(7, 2, 3)))
        output.sum().backward()
        attention = torch.nn.functional.scaled_dot_product_attention
        attention(*[torch.randn(1, 2, 8, 4)] * 3)
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    for name in ("aten::linear", "aten::lstm", "aten::scaled_dot_product_attention"):
        assert outcome.calls(name) == outcome.calls(name, phase="forward") == 1
    assert outcome.calls("aten::addmm") == 0  # inside of linear
    assert outcome.calls("aten::mm", phase="backward") == 1


def test_ranges_that_are_no_operators_are_seen_through(watch) -> None:
    outcome = watch("""
        import torch
        x = torch.ones(3)
        with torch.profiler.record_function("mylib::step"):
            torch.relu(x)
            with torch.profiler.record_function("Optimizer.step#Mine.step"), torch.no_grad():
                torch.relu(x)
                with torch.enable_grad():
                    torch.relu(x)
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::relu", phase="forward") == 2
    assert outcome.calls("aten::relu", phase="optimizer") == 1
    assert outcome.calls("mylib::step") == 0


def test_a_step_that_raises_ends_the_phase(watch) -> None:
    outcome = watch("""
        import torch
        class Broken(torch.optim.SGD):
            def step(self, closure=None):
                raise ValueError("mine")
        optimizer = Broken([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        try:
            optimizer.step()
        except ValueError:
            pass
        with torch.no_grad():
            torch.relu(torch.ones(3))
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::relu", phase="forward") == 1


def test_threads_from_before_torch_and_of_c_code_count_too(watch) -> None:
    outcome = watch("""
        import _thread, threading
        go, done = threading.Event(), threading.Event()
        def work():
            go.wait()
            import torch
            for _ in range(5):
                torch.relu(torch.ones(2))
            done.set()
        _thread.start_new_thread(work, ())
        import torch
        go.set()
        done.wait()
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::relu") == 5


def test_threads_that_end_leave_their_slots_to_the_next(watch) -> None:
    outcome = watch("""
        import glob, os, threading, torch
        def work():
            for size in range(1, 21):
                torch.relu(torch.empty(size))
        for _ in range(50):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        [described] = glob.glob(os.environ["AIMATRIX_SPOOL"] + "/*.calls.jsonl")
        print(sum(1 for line in open(described)))
    """)
    assert outcome.calls("aten::relu") == 1000
    assert int(outcome.stdout) <= 64


def test_many_shapes_are_told_apart_and_bounded(watch, monkeypatch) -> None:
    from aimatrix.monitoring import launcher

    monkeypatch.setattr(launcher, "CAPACITY", 5000)
    outcome = watch("""
        import torch
        x = torch.empty(100, 100)
        for rows in range(1, 101):
            for columns in range(1, 101):
                torch.relu(x[:rows, :columns])
    """)
    assert outcome.returncode == 0
    relus = [count for count in outcome.counts if count.raw.name == "aten::relu"]
    assert all(count.calls == 1 for count in relus)
    assert len({count.raw.arguments["self"].shape for count in relus}) == len(relus) > 4000
    overflow = outcome.calls("aimatrix::overflow")
    assert overflow > 0
    (line,) = outcome.stderr.splitlines()
    assert (
        line == f"aimatrix: {overflow} calls were counted without their shapes, which were too many"
    )


def test_time_is_measured_on_request(watch) -> None:
    program = """
        import torch
        a = torch.randn(300, 300)
        for _ in range(20):
            a @ a
            torch.relu(a[:1, :1])
    """
    timed = {count.raw.name: count.time_ns for count in watch(program, time=True).counts}
    assert timed["aten::matmul"] > timed["aten::relu"] > 0
    assert all(count.time_ns is None for count in watch(program).counts)


def test_a_full_disk_costs_shapes_and_not_counts(watch) -> None:
    outcome = watch("""
        import os, resource, signal, torch
        torch.relu(torch.ones(1))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        [described] = [name for name in os.listdir(os.environ["AIMATRIX_SPOOL"])
                       if name.endswith(".calls.jsonl")]
        size = os.path.getsize(os.path.join(os.environ["AIMATRIX_SPOOL"], described))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
        for size in range(2, 5):
            torch.relu(torch.ones(size))
        torch.relu(torch.ones(1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        torch.relu(torch.ones(9))
        print("done")
    """)
    assert (outcome.returncode, outcome.stdout) == (0, "done\n")
    line, *more = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: calls are counted without their shapes: ")
    shapes = {
        count.raw.arguments["self"].shape: count.calls
        for count in outcome.counts
        if count.raw.name == "aten::relu"
    }
    assert shapes == {(1,): 2, (9,): 1}
    assert outcome.calls("aimatrix::overflow") == 3
    assert more == ["aimatrix: 3 calls were counted without their shapes, which were too many"]


def test_torchscript_and_exported_programs_count(watch) -> None:
    outcome = watch("""
        import torch
        layer = torch.nn.Conv2d(1, 2, 3)
        x = torch.randn(1, 1, 5, 5)
        scripted = torch.jit.script(layer)
        exported = torch.export.export(layer, (x,)).module()
        for _ in range(4):
            scripted(x)
            exported(x)
    """)
    assert outcome.returncode == 0
    assert outcome.calls("aten::conv2d") + outcome.calls("aten::_convolution") == 8
