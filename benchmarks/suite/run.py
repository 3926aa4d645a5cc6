"""Run an application of the suite as a program: `python run.py bert --inferences 10`."""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
import tomllib
from pathlib import Path

import torch

SUITE = Path(__file__).with_name("suite.toml")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run an application of the suite as a program.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--suite", type=Path, default=SUITE, help="another suite file")
    parser.add_argument("--inferences", type=int, default=1, help="or training steps")
    parser.add_argument("--threads", type=int, help="by default as many as torch takes")
    parser.add_argument("--time", action="store_true", help="tell the median of all but the first")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    applications = {
        table["name"]: table for table in tomllib.loads(arguments.suite.read_text())["applications"]
    }
    if arguments.name not in applications:
        parser.error(f"there is no {arguments.name!r}; known are {', '.join(sorted(applications))}")
    sys.path.append(str(arguments.suite.parent))
    times = []
    table = applications[arguments.name]
    module, function = table["entry"].split(":")
    work, inputs = getattr(importlib.import_module(module), function)()
    with torch.inference_mode(table["class"] != "training"):
        for _ in range(arguments.inferences):
            start = time.perf_counter()
            outputs = work(*inputs)
            times.append(time.perf_counter() - start)
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            print(f"{arguments.name}: {tuple(first.shape)}, mean {first.float().mean():.6g}")
    if arguments.time:
        print(f"{arguments.name}: {statistics.median(times[1:] or times) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
