"""The process in which one platform is measured.

Called as ``python -m aimatrix.validation JOB RESULT``, both JSON files. A fresh process per
platform keeps a framework's threads, caches and crashes out of the others.
"""

from __future__ import annotations

from pathlib import Path

from aimatrix import backends
from aimatrix.errors import AimatrixError, InputError
from aimatrix.model.artefact import Part
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.result import Platform, PlatformFidelity
from aimatrix.validation.measure import empty, measure_platform
from aimatrix.validation.measure_mix import StandIn, measure_mixes
from aimatrix.validation.suite import Suite

#: a benchmark of convolutions, or mixes
Work = Benchmark | tuple[StandIn, ...]


class Job(Part):
    """What a worker is to measure."""

    work: Work
    suite: Suite
    platform: Platform
    time_limit: float
    #: where models exported to ONNX are kept for other workers
    exports: Path | None = None


class Outcome(Part):
    """What a worker hands back: a fidelity of each benchmark, or what is wrong with the suite."""

    fidelities: tuple[PlatformFidelity, ...] = ()
    error: str = ""


def count(work: Work) -> int:
    """How many benchmarks there are."""
    return 1 if isinstance(work, Benchmark) else len(work)


def main(job_file: str, result_file: str) -> None:
    """Do the job of one file and write its outcome to another."""
    job = Job.model_validate_json(Path(job_file).read_bytes())
    try:
        outcome = Outcome(fidelities=_measure(job))
    except InputError as error:
        outcome = Outcome(error=str(error))
    except AimatrixError as error:  # this platform cannot run the benchmark; others may
        outcome = Outcome(fidelities=(empty(job.platform, str(error)),) * count(job.work))
    Path(result_file).write_text(outcome.model_dump_json(), encoding="utf-8")


def _measure(job: Job) -> tuple[PlatformFidelity, ...]:
    suite, platform = job.suite, job.platform
    backends.get(platform.backend).own_process(platform.threads)
    if isinstance(job.work, Benchmark):
        return (measure_platform(job.work, suite, platform, time_limit=job.time_limit),)
    limit, exports = job.time_limit, job.exports
    return tuple(measure_mixes(job.work, suite, platform, time_limit=limit, exports=exports))
