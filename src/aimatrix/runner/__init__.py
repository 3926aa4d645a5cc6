"""Runs a benchmark on a platform: repetitions until its time is steady, raw samples kept."""

from aimatrix.runner.run import run_benchmark

__all__ = ["run_benchmark"]
