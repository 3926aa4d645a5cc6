"""A benchmark of the suite against the real applications on one CUDA GPU: `benchmarks/cuda.sh`.

Watches a part of the suite, makes its benchmark, holds it against the applications in eager and
compiled torch, in float32 (without TF32) and bfloat16, and counts the warps that both sides launch.
Platforms for which no time is left are named. Exit code 2 where something is missing, 1 where a
platform failed. ``--device cpu`` tries everything but the warps without a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

#: of each sort of model one or two that do not train: a step of training runs on the CPU alone
APPLICATIONS = ("resnet50", "vit_small", "bert", "gpt2", "llama_decode", "dlrm")
KINDS = ("torch:float32", "torch:bfloat16", "torch-compile:float32", "torch-compile:bfloat16")
REDUCTION = 10.0
#: seconds of rounds on a platform
TIME_LIMIT = 8.0
#: seconds after which no further platform is begun: compiling takes two minutes
LAST_START = 300.0
NEEDED = ("pydantic", "pyarrow", "transformers")


def main() -> int:
    """Measure, print, write; the exit code."""
    start = perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("cuda.json"), help="written here")
    parser.add_argument("--suite", type=Path, help="another suite file; by default six of ours")
    parser.add_argument("--kinds", nargs="+", default=KINDS, help="backends and dtypes")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 ...; cpu to try it out")
    options = parser.parse_args()
    missing = what_is_missing(options.device)
    if missing:
        print(f"cuda: {missing}", file=sys.stderr)
        return 2
    import fidelity
    from fidelity_document import suite_part

    from aimatrix.validation import load_suite

    suite = load_suite(options.suite or fidelity.SUITE)
    if options.suite is None:
        suite = fidelity.only(suite, APPLICATIONS)
    platforms = tuple(f"{kind}::{options.device}" for kind in options.kinds)
    with tempfile.TemporaryDirectory(prefix="aimatrix-cuda-") as folder:
        plan = fidelity.Plan(
            Path(folder), suite, platforms, (REDUCTION,), REDUCTION, (), TIME_LIMIT
        )
        made = fidelity.benchmarks(plan, fidelity.watched(plan))
        document: dict[str, Any] = {"machine": machine(), "left_out": [], "platforms": []}
        failed = []
        for text in platforms:
            if perf_counter() - start > LAST_START:
                document["left_out"].append({"name": text, "reason": "no time was left"})
                continue
            one = suite_part(fidelity.measured(replace(plan, platforms=(text,)), made))
            document["platforms"] += one["platforms"]
            document["left_out"] += one["unsupported"]
            failed += one["failed"]
            fidelity.save(document, options.output)
        if options.device != "cpu":
            document["warps"] = warps(made[0].stand_in.benchmark, suite, options.device)
        document["failed"] = failed
        document["seconds"] = round(perf_counter() - start)
        fidelity.save(document, options.output)
    show(document)
    return 1 if failed or not document["platforms"] else 0


def what_is_missing(device: str) -> str:
    """What has to be there before this can run, in a sentence; empty if all is."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this has not installed us
        return "this needs Python 3.11 or newer; choose one with PYTHON=python3.11"
    absent = [name for name in ("torch", *NEEDED) if find_spec(name) is None]
    if absent:
        return (
            f"{sys.executable} has no {', '.join(absent)}; install them, or choose a Python that"
            " has them with PYTHON=..."
        )
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA GPU here; run this on a machine with one"
    return ""


def machine() -> dict[str, str]:
    """What this ran on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"gpu": gpu, "torch": torch.__version__, "cuda": torch.version.cuda or "none"}


def warps(benchmark: Any, suite: Any, device: str) -> dict[str, Any]:
    """Warps that each application launches, and what the benchmark's stages launch for them.

    Of one pass in float32 under torch's profiler. derived: by the launch model, of the same.
    """
    import torch
    from fidelity import tell

    from aimatrix import backends
    from aimatrix.analysis.blocks import find_blocks
    from aimatrix.backends.torch_blocks import Memory
    from aimatrix.backends.torch_mix import build_stages
    from aimatrix.model.result import Platform
    from aimatrix.ops import blocks
    from aimatrix.validation import convolutions
    from aimatrix.validation.attribution import attribute
    from aimatrix.validation.suite import load_application

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    memory, launched = Memory(device), []
    tell("counting warps of the benchmark")
    for stage in build_stages(benchmark):
        tensors = stage.tensors("float32", memory)
        launched.append(measured_warps(lambda stage=stage, own=tensors: stage.run(own)))
    platform, rows = Platform(backend="torch", device=device), []
    for application in suite.applications:
        tell(f"counting warps of {application.name}")
        function, inputs = load_application(suite, application)
        found = find_blocks(*counted(convolutions.record(function, inputs)))
        executions = attribute(found, benchmark, device)
        prepared = backends.get("torch").prepare_application(function, inputs, platform)
        real = measured_warps(prepared.run)
        predicted = sum(n * each for n, each in zip(executions, launched, strict=True))
        rows.append(
            {
                "name": application.name,
                "real": real,
                "predicted": round(predicted),
                "error": predicted / real - 1 if real else None,
                "derived": sum((blocks.cost(b).warps or 0) * n for b, n in found.items()),
            }
        )
    real, predicted = (sum(row[key] for row in rows) for key in ("real", "predicted"))
    return {"applications": rows, "error": predicted / real - 1 if real else None}


def counted(recording: Any) -> tuple[dict[Any, int], Any]:
    """Of a recording, what `find_blocks` takes."""
    from collections import Counter

    calls = Counter(call for call in recording.calls if call.family != "unknown")
    return calls, recording.pairs


def measured_warps(run: Callable[[], object]) -> int:
    """Warps of all kernels that a run launches on the GPU, in its second run."""
    import torch
    from cuda_warps import trace_of

    with torch.inference_mode():
        run()
        torch.cuda.synchronize()
        return total(trace_of(run).calls)


def total(calls: Sequence[Any]) -> int:
    """Warps of the outermost calls of a trace."""
    return sum(each.calls * each.warps for each in calls if each.outermost and each.warps)


def show(document: dict[str, Any]) -> None:
    """The figures as text."""
    print("{gpu}, torch {torch}, CUDA {cuda}".format(**document["machine"]))
    for row in document["platforms"]:
        classes = " ".join(f"{name} {error:+.1%}" for name, error in row["classes"].items())
        print(f"{row['name']}: {row['error']:+.1%} at {row['reduction']:.1f} times; {classes}")
    for row in document["left_out"]:
        print(f"left out: {row['name']}: {row['reason']}")
    for row in document.get("warps", {}).get("applications", ()):
        print(f"warps of {row['name']}: {row['real']:,}, predicted {row['predicted']:,}")


if __name__ == "__main__":
    sys.exit(main())
