"""Validates a benchmark against a suite: one fresh process per platform."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import aimatrix
from aimatrix import backends
from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform, PlatformFidelity, Validation
from aimatrix.store.documents import digest
from aimatrix.validation.measure import empty
from aimatrix.validation.measure_mix import StandIn
from aimatrix.validation.ratios import rank_agreement, ratios
from aimatrix.validation.suite import Suite
from aimatrix.validation.worker import Job, Outcome, Work, count

#: seconds of measuring per platform; setting the applications up comes on top
TIME_LIMIT = 8.0
#: how the reason of a platform begins whose worker died
DIED = "the process that measured it died"
#: characters of a dead worker's last line that the reason shows
LAST_WORDS = 200


def validate(
    benchmark: Benchmark | MixBenchmark,
    suite: Suite,
    platforms: Sequence[Platform],
    *,
    time_limit: float = TIME_LIMIT,
    progress: Callable[[Platform], None] | None = None,
) -> Validation:
    """Measure the suite's applications and the benchmark interleaved on each platform.

    ``time_limit``: seconds of measuring per platform, without setting up. ``progress`` is called
    with each platform before it is measured. A platform that cannot be measured, or whose worker
    dies, says so in its ``left_out``. Raises InputError for an unknown backend or an application
    that cannot be made.
    """
    if isinstance(benchmark, MixBenchmark):
        alone = [StandIn(benchmark=benchmark)]
        return validate_mixes(alone, suite, platforms, time_limit=time_limit, progress=progress)[0]
    (own,) = _measure(benchmark, suite, platforms, time_limit, progress)
    return Validation.create(benchmark_digest=digest(benchmark), platforms=own)


def validate_mixes(
    stand_ins: Sequence[StandIn],
    suite: Suite,
    platforms: Sequence[Platform],
    *,
    time_limit: float = TIME_LIMIT,
    progress: Callable[[Platform], None] | None = None,
    exports: Path | None = None,
) -> list[Validation]:
    """`validate` of several mixes in the same rounds, each against what it stands for.

    exports: a folder in which applications are kept as ONNX models, so that a later call with
    the same suite need not export them again: some seconds each. Raises InputError as `validate`
    does, and for an application that the suite does not have.
    """
    names = {application.name for application in suite.applications}
    for name in (name for item in stand_ins for name in item.applications):
        if name not in names:
            raise InputError(
                f"{suite.source}: has no application {name!r}; add it, or name another"
            )
    measured = _measure(tuple(stand_ins), suite, platforms, time_limit, progress, exports)
    return [mix_validation(item, own) for item, own in zip(stand_ins, measured, strict=True)]


def mix_validation(stand_in: StandIn, platforms: tuple[PlatformFidelity, ...]) -> Validation:
    """What was measured of a mix, with the ratios between the platforms."""
    pairs = ratios(platforms)
    return Validation.create(
        benchmark_digest=digest(stand_in.benchmark),
        platforms=platforms,
        stands_for=stand_in.applications,
        ratios=pairs,
        rank_agreement=rank_agreement(pairs),
    )


def _measure(
    work: Work,
    suite: Suite,
    platforms: Sequence[Platform],
    time_limit: float,
    progress: Callable[[Platform], None] | None,
    exports: Path | None = None,
) -> list[tuple[PlatformFidelity, ...]]:
    """Per benchmark, its fidelity on each platform."""
    for platform in platforms:
        backends.get(platform.backend)
    measured = []
    for platform in platforms:
        if progress is not None:
            progress(platform)
        job = Job(work=work, suite=suite, platform=platform, time_limit=time_limit, exports=exports)
        measured.append(_in_a_worker(job))
    return [tuple(each[number] for each in measured) for number in range(count(work))]


#: variables that say how many kernels oneDNN and torch keep
KERNEL_CACHES = dict.fromkeys(("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"), "65536")


def _in_a_worker(job: Job) -> tuple[PlatformFidelity, ...]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job_file, result_file, log_file = (folder / part for part in ("job", "result", "log"))
        job_file.write_text(job.model_dump_json(), encoding="utf-8")
        # -P: a module of the current folder must not stand in for one that a framework imports
        arguments = ["-P", "-m", "aimatrix.validation", str(job_file), str(result_file)]
        with log_file.open("wb") as log:
            code = subprocess.run(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,  # applications may print; standard output is the verb's own
                stderr=subprocess.STDOUT,
                env=_environment(),
                check=False,
            ).returncode
        if code != 0 or not result_file.exists():
            return (empty(job.platform, _obituary(code, log_file)),) * count(job.work)
        outcome = Outcome.model_validate_json(result_file.read_bytes())
    if outcome.error:
        raise InputError(outcome.error)
    return outcome.fidelities


def _environment() -> dict[str, str]:
    """This process's, with the package on the path even where it is not installed.

    A worker runs many programs in turn, and each is to find its kernels as it would in a process of
    its own: torch and oneDNN keep 1,024 of them, and would make all the others again and again.
    """
    root = str(Path(aimatrix.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**KERNEL_CACHES, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _obituary(code: int, log_file: Path) -> str:
    """One line on a worker that died: of what, and the last line that it wrote."""
    cause = _signal_name(-code) if code < 0 else f"exit code {code}"
    written = log_file.read_text(encoding="utf-8", errors="replace").split("\n")
    lines = [line for line in map(str.strip, written) if line]
    words = lines[-1][-LAST_WORDS:] if lines else "(it wrote nothing)"
    return f"{DIED} ({cause}); its last words: {words}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
