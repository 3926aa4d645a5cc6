"""The self-test's other half: runs a program of known operators in the application's own Python.

It is run as a file, by any Python from 3.9 on, and needs nothing but torch there. It loads the
library as the agent does. `self_test` reads what it has counted, and what an event costs, and says
whether the library may be used.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import threading
import time
import types
from typing import Any

#: what a launcher would write for the agent; a budget of 0 never samples
CONFIGURATION: dict[str, Any] = {
    "attributes": {"aten::conv2d": ["stride", "padding", "dilation", "groups"]},
    "capacity": 1024,
    "budget": 0.0,
    "allowance": 0.0,
    "time": False,
}

THREADS = 4
#: calls of `aten::linear` by each thread
IN_THREAD = 50
#: and by the forked child
IN_CHILD = 10
STEPS = 3

#: operator and phase -> calls that the program makes; these names occur in no other phase
EXPECTED = {
    ("aten::linear", "forward"): THREADS * IN_THREAD + IN_CHILD + 1,
    ("aten::conv2d", "forward"): STEPS,
    ("aten::convolution_backward", "backward"): STEPS,
    ("aten::add_", "optimizer"): 2 * STEPS,
    ("aten::lstm", "forward"): 1,
    # once each time that the region is run, and once each time that it is entered
    ("aten::sigmoid", "forward"): 4,
    # a range that is only called like an operator, and one without data
    ("aten::tanh", "forward"): 0,
    ("aten::erf", "forward"): 0,
}
#: arguments that each `aten::conv2d` has to be described with
CONV2D = {"stride": [2, 1], "padding": [1, 0], "groups": 2}
#: this process's and the child's: each counts for itself
PROCESSES = 2

#: of the measurement: rounds with and without, tiny operators and steps of a cell in a round
ROUNDS = 15
#: rounds before it, of tiny operators: at the begin of a process each call costs more
WARM_ROUNDS = 8
TINY = 600
CELLS = 60


def known_program(regions: Any) -> None:
    """Make the calls of `EXPECTED`."""
    import torch

    _threads(torch)
    _child(torch)
    _training(torch)
    with torch.no_grad():
        torch.nn.LSTM(3, 2)(torch.ones(4, 1, 3))
        _region(torch, regions)
        with torch.autograd.profiler.record_function("aten::tanh"):
            torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2))
        _without_data(torch)


def event_cost(torch: Any, loops: Any) -> float:
    """Nanoseconds that counting adds to each event: the most among the loops.

    loops: (what to time, how many events it makes). Medians of what a pass takes longer than the
    one before it, which is not counted, so that a machine that others load tells it too.
    """
    costs = []
    for _ in range(WARM_ROUNDS):
        loops[0][0]()
    for loop, events in loops:
        added = []
        for _ in range(ROUNDS):
            taken = []
            for counted in (False, True):
                # for this thread, as if the library were not there
                torch.autograd._enable_record_function(counted)
                begin = time.thread_time_ns()
                loop()
                taken.append(time.thread_time_ns() - begin)
            added.append(taken[1] - taken[0])
        costs.append(statistics.median(added) / events)
    return float(max(costs))


def measured_loops(torch: Any) -> Any:
    """Loops of nothing but small operators, each with the number of events that it makes.

    A profiler tells the number. It has to come before the library: one ends the other's.
    """
    tiny, cell = torch.ones(8), torch.nn.LSTMCell(16, 16)
    start = torch.ones(1, 16)

    def relu() -> None:
        for _ in range(TINY):
            torch.relu(tiny)

    def lstm() -> None:
        state = None
        with torch.no_grad():
            for _ in range(CELLS):
                state = cell(start, state)

    loops = []
    for loop in (relu, lstm):
        loop()
        with torch.autograd.profiler.profile() as profile:
            loop()
        loops.append((loop, max(1, len(profile.function_events))))
    return loops


def _threads(torch: Any) -> None:
    x, weight = torch.ones(1, 2), torch.ones(3, 2)

    def work() -> None:
        for _ in range(IN_THREAD):
            torch.nn.functional.linear(x, weight)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _child(torch: Any) -> None:
    x, weight = torch.ones(1, 2), torch.ones(3, 2)
    child = os.fork()
    if child == 0:
        for _ in range(IN_CHILD):
            torch.nn.functional.linear(x, weight)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"a forked child ended with status {status}")


def _training(torch: Any) -> None:
    layer = torch.nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 0), groups=2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, foreach=False)
    for _ in range(STEPS):
        layer(torch.ones(1, 4, 8, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def _region(torch: Any, regions: Any) -> None:
    x = torch.ones(5)
    regions.begin()
    torch.sigmoid(x)
    region = regions.end()
    for _ in range(3):
        regions.run(region)
    regions.enter(region)
    torch.sigmoid(x)  # the region stands for it
    regions.leave()


def _without_data(torch: Any) -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        torch.erf(torch.ones(2))
    torch.erf(torch.ones(2, device="meta"))


def _agent() -> tuple[Any, Any]:
    """The agent's sides of the library; this Python may have no aimatrix to import them from."""
    package = types.ModuleType("_aimatrix_agent")
    here = os.path.dirname(os.path.abspath(__file__))
    package.__path__ = [os.path.join(os.path.dirname(here), "agent")]
    sys.modules[package.__name__] = package
    native, regions = (f"{package.__name__}.{name}" for name in ("native", "regions"))
    return importlib.import_module(native), importlib.import_module(regions)


def main(path: str, spool: str) -> None:
    """Count the known program into the folder ``spool``, and print what an event costs."""
    del sys.path[0]  # the folder of this file holds nothing for torch
    import torch

    torch.set_num_threads(1)
    loops = measured_loops(torch)
    native, regions = _agent()
    capture = native.NativeCapture(native.load(path), CONFIGURATION, spool, 0.0)
    capture.start()
    known_program(regions.Regions(path))
    cost = event_cost(torch, loops)
    capture.stop()
    print(json.dumps({"event_ns": cost}))


if __name__ == "__main__":
    main(*sys.argv[1:])
