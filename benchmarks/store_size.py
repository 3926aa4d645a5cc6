"""What always-on monitoring takes: ``python benchmarks/store_size.py [--capture NAME] [--json]``.

*A day of a busy service*: 100 signatures in each of 1,440 windows of a minute go through the
writer that `aimatrix monitor` uses; then `analyze` reads them back. Size, files and seconds.

*Memory*: a program calls an operator on 100,000 distinct shapes, more than a process may hold,
alone and under the monitor. How much its memory (resident set) grows meanwhile, and how much the
monitor itself takes, against a program of one shape.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from aimatrix import api
from aimatrix.dialects import aten
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.monitoring import Run, WindowCount, to_records
from aimatrix.store.run_log import RunLog

SIGNATURES = 100
WINDOWS = 1440
SHAPES = 100_000
START = datetime(2026, 1, 1, tzinfo=UTC)
RUN = Run("service", "host", 60.0)

#: calls an operator on as many distinct shapes as it is told to, and prints by how much it grew
PROGRAM = """
import sys, torch
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
whole = torch.empty(1000 * 100)
torch.relu(whole[:1])
before = resident()
for number in range(int(sys.argv[1])):
    torch.relu(whole[:(number // 1000 + 1) * (number % 1000 + 1)].view(number // 1000 + 1, -1))
print(resident() - before)
"""

#: monitors a program and prints what it took itself
MONITOR = """
import re, sys
import aimatrix.api.watching  # what the verb has loaded
from pathlib import Path
from aimatrix.dialects import aten
from aimatrix.monitoring import Run, run_monitored, this_host, to_records
from aimatrix.store.run_log import RunLog
capture, folder, *command = sys.argv[1:]
run, log = Run("service", this_host(), 5.0), RunLog(Path(folder))
code = run_monitored(
    [sys.executable, *command], run, spool=Path(folder, ".spool", "run"), capture=capture,
    attributes=aten.ATTRIBUTES, on_window=lambda c: log.append(to_records(c, aten.translate, run)),
)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(int(peak[1]) / 1024, code)
"""


def window_counts(number: int) -> list[WindowCount]:
    """A window of the service: convolutions and linear layers, each called some hundred times."""
    start, chance = START + timedelta(minutes=number), Random(number)
    calls = []
    for signature in range(SIGNATURES // 2):
        width, size = 16 * (signature % 16 + 1), 7 * 2 ** (signature % 5)
        weight = TensorArg((width, width, 3, 3))
        image = {"input": TensorArg((1 + signature // 10, width, size, size)), "weight": weight}
        steps: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
        calls.append(RawCall("aten::conv2d", {**image, "bias": None, **steps, "groups": 1}))
        rows = {"input": TensorArg((signature + 1, 768)), "weight": TensorArg((3072, 768))}
        calls.append(RawCall("aten::linear", {**rows, "bias": TensorArg((3072,))}))
    return [
        WindowCount(call, chance.randint(250, 350), start, RUN.window_seconds) for call in calls
    ]


def day() -> dict[str, float]:
    """A day of the service, written and read back."""
    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder))
        rows, begin = 0, perf_counter()
        for number in range(WINDOWS):
            records = to_records(window_counts(number), aten.translate, RUN)
            log.append(records)
            rows += len(records)
        written = perf_counter()
        profile = api.analyze(folder)
        read = perf_counter()
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    return {
        "rows": rows,
        "calls": profile.calls,
        "files": len(files),
        "megabytes": size / 1e6,
        "bytes_per_row": size / rows,
        "write_seconds_per_window": (written - begin) / WINDOWS,
        "analyze_seconds": read - written,
    }


def memory(capture: str) -> dict[str, float]:
    """Megabytes that distinct shapes cost the program and the monitor."""
    alone = float(_run([sys.executable, "-c", PROGRAM, str(SHAPES)])[0])
    watched, monitor = _monitored(capture, SHAPES)
    watched_one, monitor_one = _monitored(capture, 1)
    return {
        "program_growth_alone_mb": alone,
        "program_growth_watched_mb": watched,
        "program_growth_watched_one_shape_mb": watched_one,
        "monitor_peak_mb": monitor,
        "monitor_peak_one_shape_mb": monitor_one,
    }


def _monitored(capture: str, shapes: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-c", MONITOR, capture, folder, "-c", PROGRAM, str(shapes)]
        grown, taken, code = _run(line)
        assert code == "0", "the program failed"
        return float(grown), float(taken)


def _run(line: list[str]) -> list[str]:
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description="Size of the workload log, memory of monitoring")
    parser.add_argument("--capture", default="native", choices=("native", "dispatch"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    document = {"day": day(), "capture": options.capture, "memory": memory(options.capture)}
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for part in ("day", "memory"):
        print(part if part == "day" else f"{part}, {SHAPES:,} shapes, {options.capture} capture")
        for name, value in document[part].items():
            print(f"  {name.replace('_', ' '):36} {value:14,.3f}")


if __name__ == "__main__":
    main()
