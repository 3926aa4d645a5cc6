"""Measures what it costs to count a call of a jitted function of JAX: per call, and once at first.

``python benchmarks/jax_overhead.py [result.json]`` prints a table. The functions take dictionaries
of arrays (parameters) and compute next to nothing, so that all their time is that of the call.
Rounds with and without counting are interleaved in one process; times are medians of rounds, of
the processor time of the calling thread, which others on the machine change little.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from aimatrix.monitoring.agent import jax_functions
from aimatrix.monitoring.agent.spool import SpoolTally

LEAVES = (1, 10, 300)
ROUNDS = 41
#: calls of a round, of functions of one leaf; of more leaves as many fewer
CALLS = 2000
FIRST_CALLS = 15


def arguments(leaves: int) -> dict[str, Any]:
    """As many small arrays, named as a model's parameters are."""
    return {f"layer{index:03d}": jnp.ones(4) for index in range(leaves)}


def _fresh() -> Callable[[dict[str, Any]], Any]:
    """A function that uses one array and passes over the others."""
    return lambda parameters: next(iter(parameters.values())) + 1


def round_us(call: Callable[[Any], Any], given: Any, calls: int) -> float:
    start = time.thread_time()
    for _ in range(calls):
        result = call(given)
    result.block_until_ready()
    return 1e6 * (time.thread_time() - start) / calls


def first_ms(jit: Callable[..., Any]) -> float:
    """A first call: tracing, compiling, and listing where it is counted."""

    def fresh(x: Any) -> Any:
        for _ in range(20):
            x = jnp.tanh(x @ x)
        return x

    given = jnp.ones((8, 8))
    start = time.thread_time()
    jit(fresh)(given).block_until_ready()
    return 1e3 * (time.thread_time() - start)


def measure(plain: Any, counted: Any, leaves: int) -> dict[str, float]:
    given, calls = arguments(leaves), max(CALLS // leaves, 100)
    # each with a function of its own: JAX keeps what it compiles by function
    functions = {"without_us": plain(_fresh()), "with_us": counted(_fresh())}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for jitted in functions.values():
        round_us(jitted, given, calls)
    for _ in range(ROUNDS):
        for name, jitted in functions.items():
            times[name].append(round_us(jitted, given, calls))
    row = {name: statistics.median(values) for name, values in times.items()}
    return {"leaves": leaves, **row, "cost_us": row["with_us"] - row["without_us"]}


def main() -> None:
    plain = jax.jit
    with tempfile.TemporaryDirectory() as folder:
        jax_functions.follow(jax, SpoolTally(folder, 4096))
        rows = [measure(plain, jax.jit, leaves) for leaves in LEAVES]
        firsts = [(first_ms(plain), first_ms(jax.jit)) for _ in range(FIRST_CALLS)]
    without, counted = (statistics.median(each) for each in zip(*firsts, strict=True))
    print(f"{'leaves':>6} {'without us':>11} {'with us':>9} {'cost us':>9}")
    for row in rows:
        print("{leaves:>6} {without_us:>11.2f} {with_us:>9.2f} {cost_us:>9.2f}".format(**row))
    print(f"first call of 40 operators: {without:.1f} ms without, {counted:.1f} ms with")
    if len(sys.argv) > 1:
        first = {"without_ms": without, "with_ms": counted}
        result = {"jax": jax.__version__, "rows": rows, "first_call": first}
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
