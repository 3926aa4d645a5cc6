"""The whole way on three classic networks: every step is the verb of its own, on real programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aimatrix import backends
from aimatrix.api import verbs
from aimatrix.errors import AimatrixError, InputError, MissingPackageError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.profile import Profile
from aimatrix.model.result import Validation
from aimatrix.monitoring.agent.activation import FALLBACK
from aimatrix.monitoring.agent.notice import NOTICE
from aimatrix.monitoring.native import ensure
from aimatrix.store import documents
from aimatrix.validation import default_platforms

APPLICATIONS = ("alexnet", "vgg16", "googlenet")
#: the poster's
CENTERS = (224, 112, 56, 28, 14, 7)
#: a file that says that a folder is a demo's, and may be overwritten by another one
MARK = ".aimatrix-demo"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a demo made, and where: everything that its verbs wrote lies in ``folder``."""

    folder: Path
    profile: Profile
    benchmark: Benchmark
    synthesis_seconds: float
    validation: Validation
    report: Path

    def summary(self) -> dict[str, Any]:
        """The outcome in a few figures, ready for JSON."""
        stages = self.benchmark.stages
        return {
            "report": str(self.report),
            "folder": str(self.folder),
            "groups": len(stages),
            "worst_fitness_error_percent": 100 * max(stage.fitness_error for stage in stages),
            "synthesis_seconds": self.synthesis_seconds,
            "platforms": [
                {
                    "name": item.platform.name,
                    "convolutions_error": item.convolutions and item.convolutions.error,
                    "whole_error": item.whole and item.whole.error,
                }
                for item in self.validation.platforms
            ],
        }


def demo(
    output: str | Path = "aimatrix-demo",
    *,
    inferences: int = 1,
    on_step: Callable[[str], None] = lambda step: None,
) -> Demonstration:
    """Monitor AlexNet, VGG16 and GoogLeNet, make their benchmark, run, validate and report it.

    ``inferences``: how often each program runs its model. ``on_step`` is told what begins.
    Raises InputError when torch is missing, or ``output`` is a folder of something else.
    """
    if find_spec("torch") is None:
        raise MissingPackageError("torch", "aimatrix demo")
    output = Path(output)
    _prepare_folder(output)
    store, results = output / "store", output / "results"
    on_step("building the native capture, once")
    ensure([sys.executable], tell=lambda line: None)
    for name in APPLICATIONS:
        on_step(f"monitoring {name}")
        monitor_program(name, store, inferences)
    on_step("analyzing the log")
    profile = verbs.analyze(
        store, centers=CENTERS, split_groups=True, output=output / "profile.json"
    )
    on_step("synthesizing the benchmark")
    folder = output / "benchmark"
    made = verbs.synthesize(output / "profile.json", folder, form="convolutions")
    assert isinstance(made.benchmark, Benchmark)  # and no mix, which was not asked for
    _run_everywhere(folder, results, on_step)
    suite = output / "suite.toml"
    documents.write_text(suite, suite_text(inferences))
    validation = verbs.validate(
        folder,
        suite,
        output=results / "validation.json",
        progress=lambda platform: on_step(f"validating on {platform.name}"),
    )
    on_step("writing the report")
    report = verbs.report(
        [output / "profile.json", folder, results], output / "report.html", published=True
    )
    return Demonstration(output, profile, made.benchmark, made.seconds, validation, report)


def suite_text(inferences: int) -> str:
    """The suite file of the three programs: each weighs as much as it was run."""
    return "".join(
        f'[[applications]]\nname = "{name}"\n'
        f'entry = "aimatrix.applications.{name}:application"\nweight = {inferences}\n\n'
        for name in APPLICATIONS
    )


def _prepare_folder(output: Path) -> None:
    """Make the folder, or empty that of an earlier demo; never touch anything else."""
    foreign = output.exists() and not (output / MARK).is_file()
    if foreign and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"{output}: exists and is not the folder of an earlier demo; name another with -o"
        )
    documents.write_text(output / MARK, "made by aimatrix demo; the next demo overwrites it\n")
    for folder in ("store", "benchmark", "results"):
        shutil.rmtree(output / folder, ignore_errors=True)


def monitor_program(name: str, store: Path, inferences: int) -> None:
    """Start one program in a process of its own under the verb, as a user would."""
    program = Path(__file__).parents[1] / "applications" / f"{name}.py"
    monitor = [sys.executable, "-m", "aimatrix", "monitor", "--store", str(store), "--app", name]
    command = [sys.executable, str(program), "--inferences", str(inferences)]
    ended = subprocess.run([*monitor, "--", *command], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise AimatrixError(
            f"the program {name} ended with exit code {ended.returncode}: {ended.stderr.strip()}"
        )
    lines = [line for line in ended.stderr.splitlines() if line.startswith(NOTICE)]
    notices = [line for line in lines if not line.endswith(FALLBACK)]
    if notices:  # it ran, but what the log has of it is not all that it did
        reason = "; ".join(line.removeprefix(NOTICE) for line in notices)
        raise AimatrixError(f"the program {name} was not watched as it should be: {reason}")


def _run_everywhere(folder: Path, results: Path, on_step: Callable[[str], None]) -> None:
    """Run the benchmark on the platforms that it is validated on, as far as they are there."""
    for number, platform in enumerate(default_platforms(), start=1):
        on_step(f"running the benchmark on {platform.name}")
        try:
            backends.get(platform.backend).check(platform)
        except AimatrixError:
            continue  # the validation says, in the report, why a platform is left out
        verbs.run(
            folder,
            backend=platform.backend,
            device=platform.device,
            dtype=platform.dtype,
            threads=platform.threads,
            time_limit=5.0,
            output=results / f"run-{number}.json",
        )
