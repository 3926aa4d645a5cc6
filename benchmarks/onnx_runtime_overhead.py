"""What counting a run of a session costs: ``python benchmarks/onnx_runtime_overhead.py``.

The same session runs with and without the monitor's capture, round by round in turn, in one
process and thread. Prints the median time of a run, of both, their difference and ratio, and what
making a session costs; ``--json FILE`` writes it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime

from aimatrix.monitoring.agent.onnx_runtime import SessionCapture
from aimatrix.monitoring.agent.spool import SpoolTally

ROUNDS = 15
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
TINY = (
    '<ir_version: 8, opset_import: ["" : 17]> tiny (float[1,8] x) => (float[1,8] y) { y = Relu(x) }'
)


class Switch:
    """Turns the capture of sessions on and off, as if it had never been there."""

    def __init__(self, spool: str) -> None:
        kinds = (onnxruntime.InferenceSession, onnxruntime.IOBinding)
        before = [dict(vars(kind)) for kind in kinds]
        SessionCapture(spool, SpoolTally(spool, 1024)).follow(onnxruntime)
        #: class, name, what a class has there itself without the capture (or None), and with it
        self._changed = [
            (kind, name, own.get(name), value)
            for kind, own in zip(kinds, before, strict=True)
            for name, value in vars(kind).items()
            if own.get(name) is not value
        ]
        self._is_on = True

    def turn(self, on: bool) -> None:
        if on == self._is_on:
            return
        self._is_on = on
        for kind, name, without, with_it in self._changed:
            if on:
                setattr(kind, name, with_it)
            elif without is None:
                delattr(kind, name)
            else:
                setattr(kind, name, without)


def seconds(session: Any, feed: dict[str, Any], runs: int) -> float:
    begin = perf_counter()
    for _ in range(runs):
        session.run(None, feed)
    return (perf_counter() - begin) / runs


def measured(switch: Switch, model: bytes) -> dict[str, float]:
    """Median seconds of a run without and with the capture, and of making a session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    making: dict[bool, list[float]] = {True: [], False: []}
    running: dict[bool, list[float]] = {True: [], False: []}
    for on in (False, True) * ROUNDS:
        switch.turn(on)
        begin = perf_counter()
        session = onnxruntime.InferenceSession(model, options)
        making[on].append(perf_counter() - begin)
        given = session.get_inputs()[0]
        feed = {given.name: np.zeros(given.shape, np.float32)}
        runs = max(1, int(0.1 / max(seconds(session, feed, 1), 1e-6)))
        running[on].append(seconds(session, feed, runs))
    switch.turn(False)
    return {
        "run_without": median(running[False]),
        "run_with": median(running[True]),
        "made_without": median(making[False]),
        "made_with": median(making[True]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of counting runs of ONNX Runtime")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    models = {
        "one Relu of 8 elements": onnx.parser.parse_model(TINY).SerializeToString(),
        "SqueezeNet": (LIGHT / "light_squeezenet.onnx").read_bytes(),
        "ResNet-50": (LIGHT / "light_resnet50.onnx").read_bytes(),
    }
    with tempfile.TemporaryDirectory() as spool:
        switch = Switch(spool)
        rows = {name: measured(switch, model) for name, model in models.items()}
    print(f"{'model':<24}{'run us':>10}{'+ us':>8}{'ratio':>8}{'made ms':>10}{'+ ms':>8}")
    for name, row in rows.items():
        more = 1e6 * (row["run_with"] - row["run_without"])
        made = 1e3 * (row["made_with"] - row["made_without"])
        print(
            f"{name:<24}{1e6 * row['run_without']:>10.1f}{more:>8.1f}"
            f"{row['run_with'] / row['run_without']:>8.3f}{1e3 * row['made_without']:>10.1f}"
            f"{made:>8.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
