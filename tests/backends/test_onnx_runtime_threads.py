"""The threads of ONNX Runtime's sessions: one pool for all stages, as an application has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")

PROGRAM = """
import json, os
from aimatrix import backends
from aimatrix.model.result import Platform
from mix_builders import gelu, make_mix, make_mix_stage

mix = make_mix(*(make_mix_stage(f"gelu {size}", gelu(4, size)) for size in range(64, 72)))
backend = backends.get("onnxruntime")
if %s:
    backend.own_process(3)
    backend.own_process(3)
kept, threads = [], []
for _ in range(2):
    kept.append(backend.prepare_mix(mix, Platform(backend="onnxruntime", threads=3)))
    threads.append(len(os.listdir("/proc/self/task")))
print(json.dumps(threads))
"""


def threads(*, own_process: bool) -> list[int]:
    """Threads of a process with a benchmark of eight stages, then with another one."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM % own_process],
        cwd=Path(__file__).parents[1],  # where mix_builders is
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = json.loads(ended.stdout)
    return [first, second]


def test_in_a_process_of_ours_all_stages_share_their_threads() -> None:
    first, second = threads(own_process=True)
    assert first == second


def test_elsewhere_each_has_its_own() -> None:
    first, second = threads(own_process=False)
    assert second >= first + 2 * 8
