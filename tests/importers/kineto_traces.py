"""Small traces in Kineto's format, as a GPU would have given them; hand-made, nothing recorded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROCESS, THREAD, BACKWARD_THREAD, STREAM = 4242, 4242, 4300, 7


class TraceMaker:
    """Writes down what a program does; each step takes ten microseconds.

    linked: whether kernels name their operator by its External id, as Kineto writes them since
    2023; before, the id only repeated the correlation.
    """

    def __init__(self, *, linked: bool = True) -> None:
        self.events: list[Any] = [
            {"ph": "M", "name": "process_name", "pid": PROCESS, "args": {"name": "python"}}
        ]
        self._linked = linked
        self._now = 1_000_000.0
        self._ids = itertools.count(1)
        self._correlations = itertools.count(5000)
        self._running: dict[int, list[int]] = {}

    @contextmanager
    def range(
        self, name: str, *inputs: tuple[str, Any, str], thread: int = THREAD, cat: str = "cpu_op"
    ) -> Iterator[None]:
        """An operator or a mark, with what runs inside; inputs: (type, dims, concrete)."""
        start, external = self._tick(), next(self._ids)
        args: dict[str, Any] = {"External id": external, "Record function id": 0}
        if inputs:
            types, dims, concrete = (list(column) for column in zip(*inputs, strict=True))
            args |= {"Input type": types, "Input Dims": dims, "Concrete Inputs": concrete}
        self._running.setdefault(thread, []).append(external)
        yield
        self._running[thread].pop()
        place = {"pid": PROCESS, "tid": thread, "ts": start, "dur": self._tick() - start}
        self.events.append({"ph": "X", "cat": cat, "name": name, **place, "args": args})

    def kernel(
        self, grid: list[int], block: list[int], *, thread: int = THREAD, driver: bool = False
    ) -> None:
        """Launch a kernel; it runs long after its operator has returned."""
        ids = self._launch("cuLaunchKernel" if driver else "cudaLaunchKernel", thread, driver)
        shape = {"grid": grid, "block": block, "registers per thread": 32, "stream": STREAM}
        self._on_gpu("kernel", "sgemm_128x64", {**ids, **shape})

    def copy(self, *, thread: int = THREAD) -> None:
        """A copy to the GPU, and a fill: work, but no kernel."""
        self._on_gpu("gpu_memcpy", "Memcpy HtoD", self._launch("cudaMemcpyAsync", thread))
        self._on_gpu("gpu_memset", "Memset (Device)", self._launch("cudaMemsetAsync", thread))

    def graph_replay(self, grid: list[int], block: list[int]) -> None:
        """Two kernels of a CUDA graph: no operator launches them."""
        ids = self._launch("cudaGraphLaunch", THREAD)
        for _ in range(2):
            self._on_gpu("kernel", "captured", {**ids, "grid": grid, "block": block})

    def write(self, path: Path) -> Path:
        """The trace as a file."""
        path.write_text(json.dumps({"schemaVersion": 1, "traceEvents": self.events}))
        return path

    def _launch(self, name: str, thread: int, driver: bool = False) -> dict[str, int]:
        correlation = next(self._correlations)
        running = self._running.get(thread)
        external = running[-1] if running else 0
        ids = {
            "External id": external if self._linked else correlation,
            "correlation": correlation,
        }
        place = {"pid": PROCESS, "tid": thread, "ts": self._tick(), "dur": 3.0}
        cat = "cuda_driver" if driver else "cuda_runtime"
        self.events.append({"ph": "X", "cat": cat, "name": name, **place, "args": {**ids}})
        return ids

    def _on_gpu(self, cat: str, name: str, args: dict[str, Any]) -> None:
        place = {"pid": 0, "tid": STREAM, "ts": self._now + 5000, "dur": 20.0}
        self.events.append({"ph": "X", "cat": cat, "name": name, **place, "args": args})

    def _tick(self) -> float:
        self._now += 10.0
        return self._now


def tensor(*shape: int, dtype: str = "float") -> tuple[str, Any, str]:
    """A tensor among the inputs of an operator."""
    return dtype, list(shape), ""


def numbers(*values: int) -> tuple[str, Any, str]:
    """A list of numbers."""
    return "ScalarList", [], str(list(values))


def number(value: object) -> tuple[str, Any, str]:
    """A number or flag."""
    return "Scalar", [], str(value)


#: an argument that was not given, or is text
NOTHING = ("", [], "")


def convolution(
    trace: TraceMaker, *, grid: list[int], in_channels: int = 3, dtype: str = "float"
) -> None:
    """A convolution as PyTorch runs it: four operators deep, with a kernel for the bias."""
    tensors = (
        tensor(8, in_channels, 32, 32, dtype=dtype),
        tensor(64, in_channels, 3, 3, dtype=dtype),
        tensor(64, dtype=dtype),
    )
    sides = (numbers(1, 1), numbers(1, 1), numbers(1, 1))
    with trace.range("aten::conv2d", *tensors, *sides, number(1)):
        inner = (*tensors, *sides, number(False), numbers(0, 0), number(1))
        with trace.range("aten::convolution", *inner):
            flags = [number(flag) for flag in (False, False, True, True)]
            with trace.range("aten::_convolution", *inner, *flags):
                with trace.range("aten::cudnn_convolution"):
                    trace.kernel(grid, [128, 1, 1])
                with trace.range(
                    "aten::add_", tensor(8, 64, 32, 32), tensor(1, 64, 1, 1), number(1)
                ):
                    trace.kernel([64, 2, 1], [64, 2, 1])
