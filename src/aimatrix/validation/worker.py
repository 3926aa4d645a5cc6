"""The process in which one platform is measured.

Called as ``python -m aimatrix.validation JOB RESULT``, both JSON files. A fresh process per
platform keeps a framework's threads, caches and crashes out of the others.
"""

from __future__ import annotations

from pathlib import Path

from aimatrix.errors import AimatrixError, InputError
from aimatrix.model.artefact import Part
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform, PlatformFidelity
from aimatrix.validation.measure import empty, measure_platform
from aimatrix.validation.measure_mix import measure_mix
from aimatrix.validation.suite import Suite


class Job(Part):
    """What a worker is to measure."""

    benchmark: Benchmark | MixBenchmark
    suite: Suite
    platform: Platform
    time_limit: float


class Outcome(Part):
    """What a worker hands back: a fidelity, or what is wrong with the suite."""

    fidelity: PlatformFidelity | None = None
    error: str = ""


def main(job_file: str, result_file: str) -> None:
    """Do the job of one file and write its outcome to another."""
    job = Job.model_validate_json(Path(job_file).read_bytes())
    try:
        outcome = Outcome(fidelity=_measure(job))
    except InputError as error:
        outcome = Outcome(error=str(error))
    except AimatrixError as error:  # this platform cannot run the benchmark; others may
        outcome = Outcome(fidelity=empty(job.platform, str(error)))
    Path(result_file).write_text(outcome.model_dump_json(), encoding="utf-8")


def _measure(job: Job) -> PlatformFidelity:
    if isinstance(job.benchmark, MixBenchmark):
        return measure_mix(job.benchmark, job.suite, job.platform, time_limit=job.time_limit)
    return measure_platform(job.benchmark, job.suite, job.platform, time_limit=job.time_limit)
