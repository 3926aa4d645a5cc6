"""Measures what it costs to count compiled models: for each call, and once for each compilation.

Run it with and without the monitor: `aimatrix monitor -- python benchmarks/compiled_overhead.py`.
The compiled code computes nothing, so that all its time is that of the calls.
"""

from __future__ import annotations

import time
from typing import Any

import torch

CALLS = 2000
BLOCKS = 30
COMPILATIONS = 5


def models() -> dict[str, tuple[torch.nn.Module, torch.Tensor]]:
    """One with little to count, one with much."""
    nn = torch.nn
    small = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(12)]
    return {
        "linear, relu": (small, torch.randn(2, 8)),
        "12 transformer layers": (nn.Sequential(*layers).eval(), torch.randn(1, 4, 16)),
    }


def no_code(graph: torch.fx.GraphModule, inputs: Any) -> Any:
    """A backend whose code does nothing."""
    result = (torch.ones(1),)
    return lambda *_: result


def first_call_ms(model: torch.nn.Module, x: torch.Tensor) -> float:
    """The time of a compilation and the first call, the least of several."""
    times = []
    for _ in range(COMPILATIONS):
        torch._dynamo.reset()
        start = time.perf_counter()
        torch.compile(model, backend=no_code)(x)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def call_us(model: torch.nn.Module, x: torch.Tensor) -> float:
    """The time of a later call, the least of the means of several blocks."""
    step = torch.compile(model, backend=no_code)
    step(x)
    times = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(CALLS):
            step(x)
        times.append((time.perf_counter() - start) / CALLS)
    return 1e6 * min(times)


def main() -> None:
    """Print a line for each model."""
    torch.set_num_threads(1)
    with torch.no_grad():
        for name, (model, x) in models().items():
            first, then = first_call_ms(model, x), call_us(model, x)
            print(f"{name}: compilation and first call {first:.0f} ms, then {then:.2f} us a call")


if __name__ == "__main__":
    main()
