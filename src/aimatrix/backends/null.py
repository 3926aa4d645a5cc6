"""The backend that computes nothing: pretended times, so that the pipeline needs no framework.

A MAC takes a picosecond, a byte of a mix a tenth of a nanosecond, an application a millisecond; the
same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aimatrix import ops
from aimatrix.backends.backend import Backend, Pass
from aimatrix.backends.environment import host_environment
from aimatrix.errors import UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform

SECONDS_PER_MAC = 1e-12
SECONDS_PER_BYTE = 1e-10
SECONDS_PER_APPLICATION = 1e-3


class Null(Backend):
    """Pretends to run, on the CPU, in float32."""

    name = "null"

    def check(self, platform: Platform) -> None:
        """Refuse what the other backends may refuse too, so that refusals can be tested."""
        if platform.device != "cpu" or platform.dtype != "float32":
            raise UnsupportedError("the backend null pretends to be float32 on the cpu only")

    def environment(self, platform: Platform) -> dict[str, str]:
        """The host's."""
        return {**host_environment(platform), "framework": "none"}

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """The stages' MACs as seconds."""
        self.check(platform)
        return _Pretended([stage.macs * SECONDS_PER_MAC for stage in benchmark.stages])

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """The stages' MACs and bytes as seconds."""
        self.check(platform)
        return _Pretended(
            [
                stage.macs * SECONDS_PER_MAC + stage.bytes * SECONDS_PER_BYTE
                for stage in benchmark.stages
            ]
        )

    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """The convolutions' MACs as seconds."""
        self.check(platform)
        seconds = [0.0] * (max(buckets, default=-1) + 1)
        for call, bucket in zip(calls, buckets, strict=True):
            seconds[bucket] += (ops.cost(call).macs or 0) * SECONDS_PER_MAC
        return _Pretended(seconds)

    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """Does not call ``function``."""
        self.check(platform)
        return _Pretended([SECONDS_PER_APPLICATION])


class _Pretended(Pass):
    def __init__(self, seconds: list[float]) -> None:
        self._seconds = seconds

    def run(self) -> list[float]:
        return list(self._seconds)

    def outputs(self) -> list[np.ndarray]:
        return []
