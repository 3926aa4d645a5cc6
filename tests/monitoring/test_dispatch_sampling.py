"""The dispatch mode under a budget: exact while it fits, then estimates, and never in the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aimatrix.monitoring import launcher

pytest.importorskip("torch")

#: tiny operators in the main thread
TINY = """
    import os, threading, time, warnings, torch
    torch.set_num_threads(1)
    x, y = torch.ones(8), torch.ones(4, 4)
    def work(rounds):
        for _ in range(rounds):
            torch.relu(x)
            torch.relu(x)
            torch.sin(y)
    def work_until_sampled():
        "until a window has begun and ended: then the mode is off, on, and off again"
        end = time.monotonic() + (60 if "AIMATRIX_SPOOL" in os.environ else 0)
        for is_on in (True, False, True):
            while bool(torch._C._len_torch_dispatch_stack()) == is_on and time.monotonic() < end:
                work(10)
"""


@pytest.fixture
def sampled(watch: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Run a program under the dispatch mode, which samples nearly from the beginning."""
    monkeypatch.setattr(launcher, "ALLOWANCE", 0.0)
    return partial(watch, capture="dispatch")


def estimated(outcome) -> int:
    return sum(count.estimated_calls for count in outcome.counts)


def plain(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What the program does without us."""
    command = [sys.executable, str(tmp_path / "program.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_every_call_counts_while_the_cost_is_within_the_allowance(watch) -> None:
    outcome = watch(TINY + "\n    work(3000)", capture="dispatch")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert (outcome.calls("aten::relu"), outcome.calls("aten::sin")) == (6000, 3000)
    assert estimated(outcome) == 0


def test_without_a_budget_every_call_counts_whatever_it_costs(sampled) -> None:
    outcome = sampled(TINY + "\n    work(30_000)", budget=0.0)
    assert (outcome.calls("aten::relu"), outcome.calls("aten::sin")) == (60_000, 30_000)
    assert estimated(outcome) == 0


def test_beyond_it_counts_are_estimates_and_say_so(sampled) -> None:
    outcome = sampled(TINY + "\n    work(1_000_000)", budget=0.2)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    relu, sine = outcome.calls("aten::relu"), outcome.calls("aten::sin")
    assert estimated(outcome) > 0.9 * (relu + sine)
    assert 0.4 < relu / 2_000_000 < 2.5  # tiny operators beside other work: the worst case
    assert 1.7 < relu / sine < 2.3  # in which parts does not depend on any time


def test_killed_within_a_window_it_keeps_the_calls_seen(sampled) -> None:
    outcome = sampled(
        TINY
        + """
    import random, signal
    work_until_sampled()
    seen, enough = 0, random.randrange(1, 1000)  # less than a whole window
    while seen < enough:
        was_on = torch._C._len_torch_dispatch_stack()
        torch.cos(x)
        seen += bool(was_on and torch._C._len_torch_dispatch_stack())
    print(seen, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    )
    assert (outcome.returncode, outcome.stderr) == (-9, "")
    assert outcome.calls("aten::cos") >= int(outcome.stdout)
    assert estimated(outcome) > 0


def test_training_keeps_its_parts(sampled) -> None:
    outcome = sampled(
        TINY
        + """
    layers = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(50)])
    sgd = torch.optim.SGD(layers.parameters(), lr=1e-3, foreach=False)
    work_until_sampled()
    for _ in range(1200):
        layers(y).sum().backward()
        sgd.step()
    """,
        budget=0.2,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert estimated(outcome) > 0
    # two products in a backward pass, for each in the forward one
    forward = outcome.calls("aten::addmm", phase="forward")
    backward = outcome.calls("aten::mm", phase="backward")
    assert 0.5 < backward / forward / 2 < 2
    assert outcome.calls("aten::add_", phase="optimizer") > 0


def test_other_modes_see_what_they_would_without_us(sampled, tmp_path: Path) -> None:
    outcome = sampled(
        TINY
        + """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode
    class Own(TorchDispatchMode):
        calls = 0
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            for _ in range(20):  # time in which the stack of modes may change
                pass
            return func(*args, **(kwargs or {}))
    work_until_sampled()
    for _ in range(30):
        with Own() as outer:
            for _ in range(50):
                with FlopCounterMode(display=False) as flops, Own() as inner:
                    y @ y
                    torch.relu(x)
                print(flops.get_total_flops(), inner.calls, end=" ")
        print(outer.calls, torch._C._len_torch_dispatch_stack() <= 1)
        work(500)
    """
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout == plain(tmp_path).stdout
    assert estimated(outcome) > 0


def test_tracing_and_compiling_give_what_they_would_without_us(sampled, tmp_path: Path) -> None:
    outcome = sampled(
        TINY
        + """
    from torch._subclasses import FakeTensorMode
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    image, other = torch.rand(1, 3, 8, 8), torch.rand(2, 3, 9, 9)
    graphs = []
    def backend(graph, inputs):
        graphs.append(len([n for n in graph.graph.nodes if n.op == "call_function"]))
        work(200)
        return graph.forward
    def step(x):
        return model(x).relu().sin()
    work_until_sampled()
    for turn in range(6):
        traced = torch.jit.trace(model, image)
        print(len(str(traced.inlined_graph).splitlines()), traced(other).sum().item().hex())
        with FakeTensorMode(allow_non_fake_inputs=True):
            print(step(torch.empty(1, 3, 8, 8)).shape)
        torch._dynamo.reset()
        compiled = torch.compile(step, backend=backend, fullgraph=True)
        for _ in range(20):
            compiled(image)
        torch.compile(step, backend="eager")(image)
        torch.compile(step, backend="aot_eager")(image)
        print(graphs, compiled(image).sum().item().hex())
        print(torch.vmap(torch.dot)(torch.ones(4, 3), torch.ones(4, 3)).sum().item())
        print(torch.func.grad(lambda x: x.sin().sum())(x).sum().item().hex())
        work(2000)
    """
    )
    expected = plain(tmp_path)
    assert (outcome.returncode, outcome.stderr) == (0, expected.stderr)
    assert outcome.stdout == expected.stdout
    assert estimated(outcome) > 0


def test_a_fork_in_the_middle_counts_for_itself_and_warns_of_no_thread(sampled) -> None:
    outcome = sampled(
        TINY
        + """
    warnings.simplefilter("error")
    def fork():
        child = os.fork()
        if child == 0:
            for _ in range(7):
                torch.cos(x)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    for _ in range(20):
        work(1000)
        fork()
    work_until_sampled()
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    print([thread.name for thread in threading.enumerate()], flush=True)
    children = []  # where the stack cannot be changed: the child's mode comes back later
    torch.utils._pytree.tree_map(lambda _: children.append(os.fork()), [0])
    end = time.monotonic() + 1
    while children == [0] and time.monotonic() < end:
        torch.tanh(x)
    assert children == [0] or os.waitpid(children[0], 0)[1] == 0
    """
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout == "['MainThread']\n"
    assert outcome.calls("aten::cos") == 21 * 7
    assert outcome.calls("aten::tanh") > 0
    assert estimated(outcome) > 0


def test_other_threads_stay_exact(sampled) -> None:
    outcome = sampled(
        TINY
        + """
    def other():
        for _ in range(5000):
            torch.cos(x)
    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads: thread.start()
    work_until_sampled()
    for thread in threads: thread.join()
    """
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    (cosine,) = {c.raw.name: c for c in outcome.counts if c.raw.name == "aten::cos"}.values()
    assert outcome.calls("aten::cos") == 10_000
    assert cosine.estimated_calls == 0
    assert estimated(outcome) > 0


def test_what_a_signals_handler_raises_reaches_the_application(sampled) -> None:
    outcome = sampled(
        TINY
        + """
    import signal
    raised = caught = 0
    class Late(Exception):
        def __init__(self, turn):
            super().__init__(turn)
    def handler(*_):
        global raised
        raised += 1
        raise Late(raised) if raised % 2 else KeyboardInterrupt
    signal.signal(signal.SIGALRM, handler)
    work_until_sampled()
    while caught < 400:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            work(100_000)
        except Late as late:
            caught += 1
            assert late.args == (caught,) == (raised,)
        except KeyboardInterrupt:
            caught += 1
            assert caught == raised
    print(raised)
    """
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "400\n", "")
