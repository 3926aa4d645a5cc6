"""What micro-benchmarks do: each operator of an application alone, in a hot loop, and the sum.

Beside it the application itself, timed before and behind its operators:
`python benchmarks/hot_loop.py benchmarks/suite/suite.toml --threads 1 bert` prints one JSON object
with the seconds of both. Operators run on tensors that stay in the caches, as micro-benchmarks run
them; a copy of as many bytes stands in for what no backend lays out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from aimatrix import backends
from aimatrix.backends import torch_operators
from aimatrix.backends.allocator import keep_freed_memory
from aimatrix.model.calls import OpCall
from aimatrix.model.result import Platform
from aimatrix.validation import Application, Suite, load_suite
from aimatrix.validation.convolutions import record
from aimatrix.validation.suite import load_application

REPETITIONS = 5
SIDES = ("real", "hot")


def main() -> None:
    parser = argparse.ArgumentParser(description="Applications and their operators alone")
    parser.add_argument("suite", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is named")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    keep_freed_memory()
    suite = load_suite(options.suite)
    platform = Platform(backend="torch", threads=options.threads)
    rows = [
        measured(suite, application, platform)
        for application in suite.applications
        if not options.names or application.name in options.names
    ]
    print(json.dumps({"repetitions": REPETITIONS, **total(rows), "applications": rows}, indent=2))


def total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All applications together, as often as the suite runs them."""
    real, hot = (sum(row["weight"] * row[f"{what}_seconds"] for row in rows) for what in SIDES)
    not_run = sum(row["not_run"] for row in rows)
    return {"real_seconds": real, "hot_seconds": hot, "error": hot / real - 1, "not_run": not_run}


def measured(suite: Suite, application: Application, platform: Platform) -> dict[str, Any]:
    """Seconds of a call of the application, and of its operators alone."""
    function, inputs = load_application(suite, application)
    calls = Counter(call for call in record(function, inputs).calls if call.family != "unknown")
    run = backends.get("torch").prepare_application(function, inputs, platform)
    real = [sum(run.run()) for _ in range(REPETITIONS)]
    hot = {call: alone(call) for call in calls}
    real += [sum(run.run()) for _ in range(REPETITIONS)]
    hot_seconds = sum(count * (hot[call] or 0.0) for call, count in calls.items())
    return {
        "name": application.name,
        "weight": application.weight,
        "real_seconds": median(real),
        "hot_seconds": hot_seconds,
        "error": hot_seconds / median(real) - 1,
        "operators": len(hot),
        "not_run": sum(seconds is None for seconds in hot.values()),
    }


def alone(call: OpCall) -> float | None:
    """Median seconds of one operator on the same tensors, warm; None where it does not run."""
    random = torch.Generator().manual_seed(0)
    function = torch_operators.function(call)
    tensors = [
        torch_operators.tensor(operand, call.dtype, random)
        for operand in torch_operators.operands(call)
    ]
    try:
        with torch.inference_mode():
            function(*tensors)
            return median(timed(function, tensors) for _ in range(REPETITIONS))
    except (RuntimeError, ValueError, TypeError):  # as torch refuses what it does not run
        return None


def timed(function: Callable[..., object], tensors: list[torch.Tensor]) -> float:
    start = perf_counter()
    function(*tensors)
    return perf_counter() - start


if __name__ == "__main__":
    main()
