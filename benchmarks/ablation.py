"""What each term of a mix's synthesis buys: `python benchmarks/ablation.py`.

Makes the suite's benchmark with all terms and without one at a time, and holds all of them against
the real applications in the same rounds. A term that buys nothing is to be taken out. Prints a
table and writes JSON. Some fifteen minutes on two cores; on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from fidelity import SUITE, tell

from aimatrix.analysis.blocks import find_blocks
from aimatrix.backends import torch_mix
from aimatrix.model.mix import MixBenchmark
from aimatrix.ops import blocks
from aimatrix.synthesis import condense, machines, widths
from aimatrix.synthesis.mix import mix_of
from aimatrix.validation import StandIn, Suite, load_suite, parse_platform
from aimatrix.validation.convolutions import record
from aimatrix.validation.fidelity import KERNEL_CACHES
from aimatrix.validation.measure_mix import measure_mixes
from aimatrix.validation.suite import load_application

HERE = Path(__file__).parent
PLATFORMS = ("torch::1", "torch::2", "torch:bfloat16:1", "onnxruntime::1")
REDUCTION = 18.0

Counts = list[tuple[Any, int]]


@contextmanager
def imagined(change: Callable[[machines.Machine], machines.Machine]) -> Iterator[None]:
    """Other imagined machines, as many of each sort."""
    changed = tuple(change(machine) for machine in machines.MACHINES)
    with patch.object(machines.seconds, "__defaults__", (changed,)):
        yield


@contextmanager
def one_size() -> Iterator[None]:
    """Groups of like operators however far apart, as if they were of one size."""
    with patch.object(condense, "MOST_APART", 99.0), patch.object(condense, "DOUBT_OF_OCTAVE", 0.0):
        yield


#: what is left out -> how. Of the machines, what has no share in a time is as good as left out.
WITHOUT: dict[str, Callable[[], Any]] = {
    "nothing": ExitStack,
    "launches (calls)": lambda: imagined(lambda machine: replace(machine, launch=1e-9)),
    "bytes": lambda: imagined(
        lambda m: replace(m, bandwidth=1e6 * m.bandwidth, ridge=1e-6 * m.ridge)
    ),
    "MACs": lambda: imagined(lambda m: replace(m, ridge=1e6 * m.ridge)),
    "caches (footprint)": lambda: patch.object(machines, "CACHE_SPEEDUP", 1.0),
    "a family of machines": lambda: imagined(
        lambda _: machines.MACHINES[len(machines.PROCESSORS) // 2]
    ),
    "sizes (distribution)": one_size,
    "severity": lambda: patch.object(condense, "SEVERITY", 1.0),
    "the genetic search": lambda: patch.object(widths, "GENERATIONS", 0),
    "blocks": ExitStack,
}
#: left out when the benchmark runs, not when it is made; in a process of its own, as is what it is
#: to be compared with, once more
WARM = "warm activations (footprint), alone in its process"
ALONE = "nothing, alone in its process"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platforms", nargs="+", default=PLATFORMS)
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds a platform")
    parser.add_argument("--reduction", type=float, default=REDUCTION)
    parser.add_argument("--suite", type=Path, default=SUITE, help="another suite file")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "ablation.json")
    options = parser.parse_args()
    os.environ.update(KERNEL_CACHES)  # before there is a framework, as in a worker of `validate`
    suite = load_suite(options.suite)
    found = in_a_process(counted, suite)
    made = {}
    for name in WITHOUT:
        tell(f"making the benchmark without {name}")
        counts = found["operators" if name == "blocks" else "blocks"]
        made[name] = in_a_process(synthesized, counts, name, options.reduction)
    rows: dict[str, dict[str, Any]] = {name: {} for name in (*made, ALONE, WARM)}
    for text in options.platforms:
        tell(f"measuring on {text}")
        measured = in_a_process(errors, text, suite, made, options.time_limit)
        if text.startswith("torch:"):
            only = {"nothing": made["nothing"]}
            measured[ALONE] = in_a_process(errors, text, suite, only, options.time_limit)["nothing"]
            measured[WARM] = in_a_process(all_cold, text, suite, only, options.time_limit)
        for name, told in measured.items():
            rows[name][text] = told
    document = {
        "reduction": options.reduction,
        "terms": [
            {"without": name, "stages": len(made[name].stages) if name in made else None, **row}
            for name, row in rows.items()
        ],
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    show(rows, options.platforms)


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` gives in a child: its threads, memory and patches end with it."""
    with tempfile.NamedTemporaryFile() as file:
        child = os.fork()
        if child == 0:
            try:
                Path(file.name).write_bytes(pickle.dumps(work(*arguments)))
                os._exit(0)
            except BaseException:  # told here; the parent goes by the exit code
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit("a part of it failed; see above")
        return pickle.loads(Path(file.name).read_bytes())


def counted(suite: Suite) -> dict[str, Counts]:
    """What one inference of each application consists of: blocks, and operators alone."""
    found: Counter[Any] = Counter()
    alone: Counter[Any] = Counter()
    for application in suite.applications:
        tell(f"recording {application.name}")
        recording = record(*load_application(suite, application))
        calls = Counter(call for call in recording.calls if call.family != "unknown")
        found.update(find_blocks(calls, recording.pairs))
        alone.update({blocks.single(call): count for call, count in calls.items()})
    return {"blocks": list(found.items()), "operators": list(alone.items())}


def synthesized(counts: Counts, name: str, reduction: float) -> MixBenchmark:
    """The benchmark of these blocks, made without a term."""
    with WITHOUT[name]():
        return mix_of(counts, dtype="float32", applications=1, digest="0" * 64, reduction=reduction)


def errors(
    text: str, suite: Suite, made: dict[str, MixBenchmark], time_limit: float
) -> dict[str, dict[str, float]]:
    """Of each benchmark on a platform: error of the suite, mean size of the classes', reduction."""
    stand_ins = [StandIn(benchmark=benchmark) for benchmark in made.values()]
    told = measure_mixes(stand_ins, suite, parse_platform(text), time_limit=time_limit)
    return {
        name: {
            "error": each.whole.error,
            "classes": fmean(abs(row.error) for row in each.classes),
            "reduction": each.whole.real.median / each.whole.synthetic.median,
        }
        for name, each in zip(made, told, strict=True)
        if each.whole
    }


def all_cold(
    text: str, suite: Suite, made: dict[str, MixBenchmark], time_limit: float
) -> dict[str, float]:
    """Errors of the benchmark whose activations are all in memory of their own."""
    with patch.object(torch_mix, "is_warm", lambda *_: False):
        return errors(text, suite, made, time_limit)["nothing"]


def show(rows: dict[str, dict[str, Any]], platforms: tuple[str, ...]) -> None:
    """A line for each term: error (mean size of the classes' errors) at reduction."""
    print(f"{'without':52}" + "".join(f"{text:>28}" for text in platforms))
    for name, row in rows.items():
        cells = [cell(row[text]) if text in row else "-" for text in platforms]
        print(f"{name:52}" + "".join(f"{each:>28}" for each in cells))


def cell(told: dict[str, float]) -> str:
    return "{error:+.1%} ({classes:.1%}) at {reduction:.1f}".format(**told)


if __name__ == "__main__":
    main()
