"""Run an application of the suite as a program: `python run.py bert --inferences 10`."""

from __future__ import annotations

import argparse
import importlib
import tomllib
from pathlib import Path

import torch

SUITE = Path(__file__).with_name("suite.toml")


def main() -> None:
    applications = {
        table["name"]: table for table in tomllib.loads(SUITE.read_text())["applications"]
    }
    parser = argparse.ArgumentParser(description="Run an application of the suite as a program.")
    parser.add_argument("name", choices=sorted(applications), metavar="NAME")
    parser.add_argument("--inferences", type=int, default=1, help="or training steps")
    arguments = parser.parse_args()
    table = applications[arguments.name]
    module, function = table["entry"].split(":")
    work, inputs = getattr(importlib.import_module(module), function)()
    with torch.inference_mode(table["class"] != "training"):
        for _ in range(arguments.inferences):
            outputs = work(*inputs)
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            print(f"{arguments.name}: {tuple(first.shape)}, mean {first.float().mean():.6g}")


if __name__ == "__main__":
    main()
