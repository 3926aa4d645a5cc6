"""Measured warps beside derived ones, for each kind of operator of ResNet-50 and BERT-base.

Run: ``benchmarks/cuda_warps.sh [--output warps.json]`` on a machine with one CUDA GPU, torch, and
nothing of ours installed; a few minutes. It records one pass of each model in each dtype under
torch's profiler, prints the ratio measured / derived per operator, tells how much slower passes
are after a profiler has been on, and runs both models once more under `aimatrix monitor`'s own
launcher with ``--warps``. ``--trace FILE...`` compares traces that were recorded elsewhere, and
needs no GPU. Exit code 2 where something is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

DTYPES = ("float32", "float16", "bfloat16")
BATCHES = {"resnet50": 16, "bert": 8}
PASSES = 20


def main() -> int:
    """Measure or read traces, print, write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write everything as JSON")
    parser.add_argument("--trace", type=Path, nargs="+", help="compare these traces instead")
    parser.add_argument("--application", choices=sorted(BATCHES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.application:
        run_application(options.application)
        return 0
    missing = what_is_missing(needs_gpu=not options.trace)
    if missing:
        print(f"cuda_warps: {missing}", file=sys.stderr)
        return 2
    from aimatrix.errors import InputError

    try:
        report = of_traces(options.trace) if options.trace else of_this_machine()
    except InputError as error:
        print(f"cuda_warps: {error}", file=sys.stderr)
        return error.exit_code
    show(report)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def what_is_missing(*, needs_gpu: bool) -> str:
    """What has to be there before this can run, in a sentence; empty if all is."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this has not installed us
        return "this needs Python 3.11 or newer; choose one with PYTHON=python3.11"
    try:
        import torch
    except ImportError:
        return f"{sys.executable} has no torch; choose a Python that has with PYTHON=..."
    if needs_gpu and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA GPU here; run this on a machine with one"
    return ""


def of_traces(paths: Iterable[Path]) -> dict[str, Any]:
    """The report on traces that exist."""
    traces = {str(path): read(path) for path in paths}
    return {"traces": {name: quality(trace) for name, trace in traces.items()}, **compared(traces)}


def of_this_machine() -> dict[str, Any]:
    """The report on what the GPU of this machine is given to do."""
    import torch

    slower = slowdown_after_profiling()
    traces = {
        f"{model} {dtype}": recorded(model, dtype)
        for model in BATCHES
        for dtype in DTYPES
        if dtype != "bfloat16" or torch.cuda.is_bf16_supported()
    }
    return {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "batches": BATCHES,
        "traces": {name: quality(trace) for name, trace in traces.items()},
        **compared(traces),
        "after_profiling": slower,
        "monitored": {model: monitored(model, traces[f"{model} float32"]) for model in BATCHES},
    }


def prepared(model: str, dtype: str) -> Callable[[], object]:
    """A pass of a model on the GPU."""
    import torch
    from workloads.bert import bert_base
    from workloads.resnet50 import resnet50

    made, inputs = {"resnet50": resnet50, "bert": bert_base}[model](BATCHES[model])
    kind = getattr(torch, dtype)
    made = made.eval().to("cuda", kind)
    placed = [each.to("cuda", kind if each.is_floating_point() else None) for each in inputs]

    def once() -> object:
        with torch.inference_mode():
            return made(*placed)

    return once


def run_application(model: str) -> None:
    """What the monitor watches: a program that knows nothing of it."""
    import torch

    once = prepared(model, "float32")
    for _ in range(8):
        once()
    torch.cuda.synchronize()


def recorded(model: str, dtype: str) -> Any:
    """The trace of one pass, after a few that are not recorded."""
    import torch

    once = prepared(model, dtype)
    for _ in range(3):
        once()
    torch.cuda.synchronize()
    return trace_of(once)


def trace_of(once: Callable[[], object]) -> Any:
    """The trace of one run, until the GPU has done its work."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities, record_shapes=True) as profiler:
        once()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return read(path)


def read(path: Path) -> Any:
    """A trace, with the schemas of the torch that is installed here."""
    from aimatrix.dialects import aten
    from aimatrix.importers import kineto

    return kineto.read(path, kineto.installed_schemas, aten.ATTRIBUTES)


def quality(trace: Any) -> dict[str, int]:
    """What could not be told from a trace."""
    return {
        "kernels": trace.kernels,
        "kernels_of_no_operator": trace.unplaced_kernels,
        "operators_by_name_alone": trace.unread,
        "odd_events": trace.odd_events,
    }


def compared(traces: dict[str, Any]) -> dict[str, Any]:
    """Rows for each kind of operator and dtype, and what has no derived warps to compare with."""
    from aimatrix import ops
    from aimatrix.dialects import aten

    kinds: dict[tuple[str, str, str], list[tuple[int, int, int]]] = defaultdict(list)
    underived: dict[str, int] = defaultdict(int)
    for trace in traces.values():
        for traced in trace.calls:
            if not traced.outermost or traced.warps is None:
                continue
            call = aten.translate(traced.raw)
            derived = ops.cost(call).warps
            if derived:
                row = (traced.calls, traced.warps, derived)
                kinds[call.family, call.kind, call.dtype].append(row)
            else:
                underived[traced.raw.name] += traced.calls * traced.warps
    families: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for (family, _, dtype), measured in kinds.items():
        families[family, dtype] += measured
    return {
        "families": [
            {"family": family, "dtype": dtype, **summary(measured)}
            for (family, dtype), measured in sorted(families.items())
        ],
        "kinds": [
            {"family": family, "kind": kind, "dtype": dtype, **summary(measured)}
            for (family, kind, dtype), measured in sorted(kinds.items())
        ],
        "measured_without_derived": dict(sorted(underived.items())),
    }


def summary(measured: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Of (calls, measured warps, derived warps): ratios measured / derived, once for each call."""
    ratios = sorted(each[1] / each[2] for each in measured for _ in range(each[0]))
    all_measured = sum(calls * warps for calls, warps, _ in measured)
    all_derived = sum(calls * warps for calls, _, warps in measured)
    return {
        "calls": len(ratios),
        "signatures": len(measured),
        "measured": all_measured,
        "derived": all_derived,
        "ratio": all_measured / all_derived,
        "median": median(ratios),
        "p10": ratios[len(ratios) // 10],
        "p90": ratios[-1 - len(ratios) // 10],
    }


def slowdown_after_profiling() -> dict[str, float]:
    """Seconds of a pass before any profiler was on in this process, and after one was."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    seconds: dict[str, float] = {}
    once = prepared("bert", "float16")
    for _ in range(PASSES):
        once()
    for name in ("before", "after"):
        samples = []
        for _ in range(PASSES):
            torch.cuda.synchronize()
            start = time.perf_counter()
            once()
            torch.cuda.synchronize()
            samples.append(time.perf_counter() - start)
        seconds[name] = median(samples)
        start = time.perf_counter()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], record_shapes=True):
            once()
        seconds[f"window_{name}"] = time.perf_counter() - start
    return {
        "pass_before": seconds["before"],
        "pass_after": seconds["after"],
        "ratio": seconds["after"] / seconds["before"],
        "first_window": seconds["window_before"],
        "second_window": seconds["window_after"],
    }


def monitored(model: str, trace: Any) -> dict[str, Any]:
    """The model as an application under the monitor's launcher, with windows of its own.

    Its calls on the GPU, how many of them have measured warps, and of those how many have as many
    as in ``trace``, which was recorded without the monitor.
    """
    from aimatrix.dialects import aten
    from aimatrix.importers import kineto
    from aimatrix.monitoring import MeasuredWarps, Run, run_monitored, this_host, to_records

    def traced(path: Path, schemas: Path) -> Any:
        return kineto.read(path, kineto.stored_schemas(schemas), aten.ATTRIBUTES).calls

    records: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "run"
        run = Run(model, this_host(), 3600.0)
        measured = MeasuredWarps(spool, traced, aten.translate)

        def on_window(counts: Any) -> None:
            measured.collect()
            records.extend(to_records(counts, aten.translate, run, measured.of))

        code = run_monitored(
            [sys.executable, __file__, "--application", model],
            run,
            spool=spool,
            attributes=aten.ATTRIBUTES,
            on_window=on_window,
            warps=True,
        )
    expected = {aten.translate(call.raw): call.warps for call in trace.calls if call.outermost}
    on_gpu = [record for record in records if record.call.device == "cuda"]
    known = [record for record in on_gpu if record.warps is not None]
    both = [record for record in known if record.call in expected]
    return {
        "exit_code": code,
        "calls": sum(record.calls for record in on_gpu),
        "calls_with_measured_warps": sum(record.calls for record in known),
        "signatures_in_both": len(both),
        "signatures_with_equal_warps": sum(r.warps == expected[r.call] for r in both),
    }


def show(report: dict[str, Any]) -> None:
    """The report as text."""
    if "gpu" in report:
        print("{gpu}, torch {torch}, CUDA {cuda}, cuDNN {cudnn}".format(**report))
    for name, told in report["traces"].items():
        print(f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {n}" for key, n in told.items()))
    print("\nmeasured / derived warps; median, p10 and p90 of single calls, total of all calls")
    print(f"{'operator':34} {'dtype':10} {'calls':>6} {'median':>8} {'p10':>8} {'p90':>8} total")
    for row in sorted(report["families"] + report["kinds"], key=position):
        name = f"  {row['kind']}" if "kind" in row else row["family"]
        print(
            f"{name:34} {row['dtype']:10} {row['calls']:6}"
            f" {row['median']:8.2f} {row['p10']:8.2f} {row['p90']:8.2f} {row['ratio']:.2f}"
        )
    for name, warps in report["measured_without_derived"].items():
        print(f"no derived warps: {name}, {warps} measured")
    if "after_profiling" in report:
        print(
            "\nafter profiling, a pass takes {ratio:.3f} times as long".format(
                **report["after_profiling"]
            )
        )
        for model, told in report["monitored"].items():
            print(f"under the monitor, {model}: {told}")


def position(row: dict[str, Any]) -> tuple[str, str, str]:
    """Families in order, each before its kinds."""
    return row["family"], row["dtype"], row.get("kind", "")


if __name__ == "__main__":
    sys.exit(main())
