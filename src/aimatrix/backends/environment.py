"""The part of a result's environment that no framework is needed for."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import aimatrix.model.result as result
from aimatrix.version import VERSION


def host_environment(target: result.Platform) -> dict[str, str]:
    """Keys: cpu, cores, os, python, aimatrix, backend, device, dtype, threads."""
    return {
        "cpu": cpu_model(),
        "cores": str(cores()),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "aimatrix": VERSION,
        "backend": target.backend,
        "device": target.device,
        "dtype": target.dtype,
        "threads": str(target.threads or "the framework's choice"),
    }


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name; its architecture where the system tells no name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def computes_bfloat16() -> bool:
    """Whether the CPU has vector instructions that make bfloat16 worth measuring by default.

    oneDNN, which torch uses on x86, computes bfloat16 with AVX-512 at least; below it torch
    falls back to scalar loops, thirty to a hundred times slower than float32.
    """
    return "avx512bw" in _cpuinfo("flags").split()


def _cpuinfo(key: str) -> str:
    """The first value of ``key`` in Linux's /proc/cpuinfo; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
