"""What monitoring costs an application: time with / time without, interleaved in one run.

Run: ``python benchmarks/monitoring_overhead.py [--seconds 20] [--json]``. Prints one line for each
workload, the nanoseconds per counted call, and the milliseconds that the start of a process takes
longer; or the same as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median

import torch

from aimatrix.dialects.aten import ATTRIBUTES
from aimatrix.monitoring import record_calls
from aimatrix.monitoring.agent.dispatch import DispatchCapture
from aimatrix.monitoring.agent.spool import SpoolTally
from aimatrix.monitoring.launcher import BOOT, CAPACITY


def workloads() -> dict[str, Callable[[], object]]:
    """Name -> a piece of work of a few milliseconds or more."""
    convolutions = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 7, stride=4),
        torch.nn.ReLU(),
        *[torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3, padding=1), torch.nn.ReLU())] * 6,
    )
    image = torch.randn(1, 3, 224, 224)
    linear = torch.nn.Sequential(*[torch.nn.Linear(64, 64), torch.nn.ReLU()] * 100)
    rows, small = torch.randn(8, 64), torch.randn(8)

    def tiny() -> None:
        for _ in range(600):
            torch.relu(small)

    def train() -> None:
        linear(rows).sum().backward()

    return {
        "7 convolutions at 224": lambda: convolutions(image),
        "100 x (linear 64, relu)": lambda: linear(rows),
        "the same with backward": train,
        "600 relu of 8 elements": tiny,
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(work: Callable[[], object], capture: DispatchCapture, seconds: float) -> list[float]:
    """Median seconds [without, with] of runs that take turns for ``seconds``."""
    samples: list[list[float]] = [[], []]
    work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples[0].append(timed(work))
        capture.start()
        try:
            samples[1].append(timed(work))
        finally:
            capture.stop()
    return [median(each) for each in samples]


def startup_milliseconds(rounds: int = 30) -> float:
    """Median milliseconds that ``python -c pass`` takes longer under the monitor."""
    plain = dict(os.environ)
    plain.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    monitored = {**plain, "PYTHONPATH": str(BOOT), "AIMATRIX_SPOOL": "unused"}

    def start(environment: dict[str, str]) -> float:
        command = [sys.executable, "-c", "pass"]
        return timed(lambda: subprocess.run(command, env=environment, check=True))

    start(monitored)
    return 1e3 * median(start(monitored) - start(plain) for _ in range(rounds))


def rows(seconds: float) -> list[dict[str, object]]:
    """One row for each workload."""
    measured: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as spool:
        capture = DispatchCapture(ATTRIBUTES, SpoolTally(spool, CAPACITY))
        for name, work in workloads().items():
            calls = len(record_calls(work, ATTRIBUTES))
            without, watched = measure(work, capture, seconds / len(workloads()))
            measured.append(
                {
                    "workload": name,
                    "technique": capture.name,
                    "ratio": watched / without,
                    "calls": calls,
                    "nanoseconds_per_call": 1e9 * (watched - without) / calls,
                }
            )
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for all workloads together")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    document = {
        "torch": torch.__version__,
        "threads": 1,
        "rows": rows(options.seconds),
        "startup_milliseconds": startup_milliseconds(),
    }
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(f"torch {torch.__version__}, 1 thread; time with / time without")
    for row in document["rows"]:
        print(
            f"{row['workload']:26} {row['ratio']:6.3f}  {row['calls']:5} calls"
            f"  {row['nanoseconds_per_call']:7.0f} ns a call"
        )
    print(f"start of a process: {document['startup_milliseconds']:.1f} ms longer")


if __name__ == "__main__":
    main()
