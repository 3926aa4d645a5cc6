"""The process in which one platform is measured.

Called as ``python -m aimatrix.validation.worker JOB RESULT``, both JSON files. A fresh process per
platform keeps a framework's threads, caches and crashes out of the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from aimatrix.errors import AimatrixError
from aimatrix.model.artefact import Part
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.result import Platform, PlatformFidelity
from aimatrix.validation.measure import measure_platform
from aimatrix.validation.suite import Suite


class Job(Part):
    """What a worker is to measure."""

    benchmark: Benchmark
    suite: Suite
    platform: Platform
    time_limit: float


class Outcome(Part):
    """What a worker hands back: a fidelity, or the message and exit code of an error of ours."""

    fidelity: PlatformFidelity | None = None
    error: str = ""
    exit_code: int = Field(default=0, ge=0)


def main(job_file: str, result_file: str) -> None:
    """Do the job of one file and write its outcome to another."""
    job = Job.model_validate_json(Path(job_file).read_bytes())
    try:
        outcome = Outcome(
            fidelity=measure_platform(
                job.benchmark, job.suite, job.platform, time_limit=job.time_limit
            )
        )
    except AimatrixError as error:
        outcome = Outcome(error=str(error), exit_code=error.exit_code)
    Path(result_file).write_text(outcome.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
