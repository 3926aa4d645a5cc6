"""A CUDA graph counts its operators at each replay, and none at its capture.

There need be no GPU: a class of our own stands in for the one of torch that drives the hardware.
"""

from __future__ import annotations

import textwrap

from conftest import Watch

STAND_IN = """
    import contextlib, threading, torch
    driver = torch._C._CUDAGraph  # torch without CUDA has a class without methods here
    driver.__new__ = lambda cls, *_: object.__new__(cls)
    driver.__init__ = lambda self, *_: None
    driver.capture_begin = lambda self, **_: None
    def end(self):
        if getattr(self, "fails", False):
            raise RuntimeError("the capture failed")
    driver.capture_end = end
    driver.replay = lambda self: None
    driver.reset = lambda self: None
    class Stream:
        def wait_stream(self, other): pass
    torch.cuda.Stream = torch.cuda.current_stream = lambda *_, **__: Stream()
    torch.cuda.stream = lambda *_: contextlib.nullcontext()
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda *_: None
    torch._C._host_emptyCache = lambda: None
    torch.cuda.graphs.graph_pool_handle = lambda: None
    a, b = torch.ones(2, 3), torch.ones(3, 4)
"""


def program(body: str) -> str:
    return textwrap.dedent(STAND_IN) + textwrap.dedent(body)


def test_replays_count_and_captures_do_not(watch: Watch) -> None:
    outcome = watch(
        program("""
            graph = torch.cuda.CUDAGraph()
            (a @ b).relu()  # a warm-up, which is work
            graph.capture_begin()
            (a @ b).relu().relu()
            graph.capture_end()
            for _ in range(7):
                graph.replay()
            a.sin()
            graph.capture_begin()  # the same graph again, of something else
            a.cos()
            graph.capture_end()
            thread = threading.Thread(target=lambda: [graph.replay() for _ in range(3)])
            thread.start()
            thread.join()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::matmul") == 1 + 7
    assert outcome.calls("aten::relu") == 1 + 2 * 7
    assert outcome.calls("aten::sin") == 1
    assert outcome.calls("aten::cos") == 3


def test_the_context_that_captures_counts_too(watch: Watch) -> None:
    outcome = watch(
        program("""
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
                a @ b
            graph.replay()
            graph.replay()
            broken = torch.cuda.CUDAGraph()
            broken.fails = True
            try:
                with torch.cuda.graph(broken, stream=torch.cuda.Stream()):
                    a.sin()
            except RuntimeError as error:
                print(error)
            a.sin()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout == "the capture failed\n"
    assert outcome.calls("aten::matmul") == 2
    assert outcome.calls("aten::sin") == 1


def test_backward_passes_and_optimizers_keep_their_phases(watch: Watch) -> None:
    outcome = watch(
        program("""
            layer = torch.nn.Linear(3, 4, bias=False)
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, foreach=False)
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin()
            layer(a).sum().backward()
            optimizer.step()
            graph.capture_end()
            for _ in range(5):
                graph.replay()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::linear", phase="forward") == 5
    assert outcome.calls("aten::mm", phase="backward") == 5
    assert outcome.calls("aten::add_", phase="optimizer") == 5


def test_work_that_torch_hands_to_other_threads_belongs_to_the_capture(watch: Watch) -> None:
    # as a backward pass on a GPU, which autograd runs in a thread of its own
    outcome = watch(
        program("""
            def waves(x):
                # type: (Tensor) -> Tensor
                return torch.sin(x)
            @torch.jit.script
            def both(x):
                # type: (Tensor) -> Tensor
                other = torch.jit._fork(waves, x)
                return torch.cos(x) + torch.jit._wait(other)
            graph = torch.cuda.CUDAGraph()
            busy = threading.Event()
            thread = threading.Thread(target=lambda: (busy.wait(), a.tan()))
            thread.start()
            graph.capture_begin()
            both(a)
            busy.set()
            thread.join()  # work of its own
            graph.capture_end()
            both(a)
            for _ in range(6):
                graph.replay()
        """)
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.calls("aten::cos") == 1 + 6
    assert outcome.calls("aten::sin") == 1 + 6
    assert outcome.calls("aten::tan") == 1


def test_a_compiled_model_in_a_graph_counts_at_replays(watch: Watch) -> None:
    outcome = watch(
        program("""
            model = torch.compile(lambda x: (x @ b).relu(), backend="aot_eager")
            model(a)
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin()
            model(a)
            graph.capture_end()
            for _ in range(4):
                graph.replay()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.calls("aten::matmul") == 1 + 4
    assert outcome.calls("aten::relu") == 1 + 4
    assert outcome.calls("aten::mm") == 0
