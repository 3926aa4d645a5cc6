"""``benchmarks/cuda_warps.sh`` as far as it goes without a GPU."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "cuda_warps.py"

#: what a machine that has torch and nothing else lacks, of all that we depend on
ABSENT = """
import sys
class Absent:
    names = {"pydantic", "pyarrow", "typer", "rich", "jinja2", "altair", "vl_convert", "onnx",
             "onnxruntime", "onnxscript", "pandas", "transformers", "pytest"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is not on that machine")
sys.meta_path.insert(0, Absent())
"""

CONVOLUTION = {
    "Input type": [*["float"] * 3, *["ScalarList"] * 3, "Scalar"],
    "Input Dims": [[1, 3, 64, 64], [8, 3, 3, 3], [8], [], [], [], []],
    "Concrete Inputs": ["", "", "", "[1, 1]", "[1, 1]", "[1, 1]", "1"],
    "External id": 3,
}
KERNEL = {"External id": 3, "correlation": 8, "grid": [16, 2, 1], "block": [128, 1, 1]}


def imports() -> Iterator[str]:
    """Every module that the script imports, inside functions too, and a name from it."""
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"from {node.module} import {alias.name}" for alias in node.names)


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT / 'src'}{os.pathsep}{SCRIPT.parent}"
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_the_script_imports_nothing_but_torch() -> None:
    # the first line is of the future, and has to stay the first
    program = "\n".join([ABSENT, *(line for line in imports() if "__future__" not in line)])
    assert "from workloads.bert import bert_base" in program
    assert "from aimatrix.monitoring import run_monitored" in program
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr


def test_traces_are_compared_where_there_is_torch_alone(tmp_path: Path) -> None:
    trace, output = tmp_path / "trace.json", tmp_path / "warps.json"
    place = {"ph": "X", "pid": 1, "tid": 1}
    events = [
        {**place, "cat": "cpu_op", "name": "aten::conv2d", "ts": 1, "dur": 9, "args": CONVOLUTION},
        {**place, "cat": "kernel", "name": "gemm", "ts": 50, "dur": 1, "args": KERNEL},
    ]
    trace.write_text(json.dumps({"traceEvents": events}))
    start = f"sys.argv = ['cuda_warps.py', '--trace', {str(trace)!r}, '--output', {str(output)!r}]"
    program = f"{ABSENT}\n{start}\nimport cuda_warps\nsys.exit(cuda_warps.main())"
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(output.read_text())["kinds"]
    assert (row["family"], row["kind"], row["dtype"]) == ("convolution", "conv2d", "float32")
    # derived: 8 x 64 x 64 outputs in tiles of 64 x 64, each of 4 warps
    assert (row["calls"], row["measured"], row["derived"]) == (1, 32 * 4, 8 * 4)
    assert row["median"] == row["ratio"] == 4.0
    assert "conv2d" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_without_a_gpu_one_sentence_says_so() -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT.with_suffix(".sh"))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no CUDA GPU" in done.stderr


def test_a_damaged_trace_is_told_in_one_sentence(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text("{")
    done = run_python(str(SCRIPT), "--trace", str(trace))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(trace) in done.stderr
