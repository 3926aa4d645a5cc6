"""How well benchmarks of a mix tell the times of real applications: `make fidelity`.

Watches every application of the suite as a program, makes benchmarks of the log at several
reductions, and of single applications; holds them all against the real applications on many
platforms, none of which had a part in making them. Beside it what others do: operators timed alone
in a hot loop, and the poster's form, of convolutions alone. At the end the eight applications on
which a replay of traces aborts. docs/validation.md says what the figures mean.

Writes a JSON file and a page; ``--quick`` shows in some four minutes that all of it works. Exit
code 1 when a platform failed; one that cannot run a mix is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from fidelity_document import Made, Measured, poster_part, show, suite_part

import aimatrix
from aimatrix.api.verbs import load_benchmark
from aimatrix.errors import AimatrixError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import PlatformFidelity, Validation
from aimatrix.store import documents
from aimatrix.validation import (
    DIED,
    StandIn,
    Suite,
    load_suite,
    mix_validation,
    parse_platform,
    validate,
    validate_mixes,
)

HERE = Path(__file__).parent
SUITE = HERE / "suite" / "suite.toml"
REPLAY = HERE / "replay" / "suite.toml"
PLATFORMS = (
    "torch::1",
    "torch::2",
    "torch:bfloat16:1",
    "torch:bfloat16:2",
    "onnxruntime::1",
    "onnxruntime::2",
    "onnxruntime:int8:1",
    "onnxruntime:int8:2",
    "openvino::1",
    "openvino::2",
    "torch-compile::1",
)
#: compiles every stage, some seconds each: the main benchmark alone is measured there
COMPILER = "torch-compile"
#: where the eight are measured: what they have in common runs in torch alone
REPLAY_PLATFORMS = ("torch::1", "torch::2")
REDUCTIONS = (4.0, 8.0, 12.0, 15.0, 18.0)
#: the reduction of the benchmark that is shown in full: some 20 by wall time
MAIN = 18.0
REPLAY_REDUCTION = 10.0
#: of a benchmark of a single application
ALONE_REDUCTION = 3.0
#: of the seconds of measuring, how much a benchmark of a single application gets
ALONE_SHARE = 1 / 8
#: applications that get a benchmark of their own; the last of them runs in torch alone
ALONE = (
    "resnet50", "mobilenet_v2", "vit_small", "bert", "gpt2", "llama_decode", "lstm_lm", "dlrm",
    "din", "train_resnet18",
)  # fmt: skip
INFERENCES = 10
QUICK = ("mobilenet_v2", "lstm_lm", "dlrm")
QUICK_REDUCTIONS = (5.0, MAIN)
QUICK_REPLAY = ("int8_lstm", "dlrm_inference")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, and where the files of it lie."""

    work: Path
    suite: Suite
    platforms: tuple[str, ...]
    reductions: tuple[float, ...]
    main: float
    alone: tuple[str, ...]
    time_limit: float


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why there are no figures; failed: whether there should be some."""

    reason: str
    failed: bool


def main() -> None:
    options = read_options()
    start = perf_counter()
    output: Path = options.output
    documents.check_writable(output)
    with tempfile.TemporaryDirectory(prefix="aimatrix-fidelity-") as folder:
        whole, replay = plans(options, Path(folder))
        profile = watched(whole)
        made = benchmarks(whole, profile)
        same = same_bits(made[0], profile)
        suite = measured(whole, made)
        document = {**suite_part(suite), "same_bits": same}
        save(document, output)  # half an hour's measuring is not to be lost
        write_report(suite, Path(folder), output.with_suffix(".html"))
        beside = [text for text in whole.platforms if is_plain_torch(text)]
        document["poster"] = poster_part(poster_form(whole, beside))
        document["hot_loop"] = alone = [hot_loop(whole, text) for text in beside]
        save(document, output)
        eight = measured(replay, benchmarks(replay, watched(replay)))
        document["replay"] = suite_part(eight)
        document["seconds"] = round(perf_counter() - start)
        save(document, output)
    show(document)
    print(f"\nwrote {output} and {output.with_suffix('.html')}")
    failed = {
        **suite.failed,
        **eight.failed,
        **{f"{row['name']}, operators alone": row["failed"] for row in alone if "failed" in row},
    }
    for platform, reason in failed.items():
        print(f"failed on {platform}: {reason}", file=sys.stderr)
    sys.exit(1 if failed or not suite.validations[0].platforms else 0)


def save(document: dict[str, Any], output: Path) -> None:
    """Write what is known so far."""
    documents.write_text(output, json.dumps(document, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmarks of a mix against real applications")
    parser.add_argument("--platforms", nargs="+", metavar="PLATFORM", help=" ".join(PLATFORMS))
    parser.add_argument(
        "--reductions", nargs="+", type=float, metavar="X", help="of the curve, in imagined time"
    )
    parser.add_argument("--time-limit", type=float, metavar="S", help="seconds a platform")
    parser.add_argument("--suite", type=Path, default=SUITE, help="another suite file")
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE / "results" / "fidelity.json", help="written here"
    )
    return parser.parse_args()


def plans(options: argparse.Namespace, work: Path) -> tuple[Plan, Plan]:
    """What is asked for of the suite, and of the eight."""
    quick: bool = options.quick
    suite, eight = load_suite(options.suite), load_suite(REPLAY)
    if quick:
        suite, eight = only(suite, QUICK), only(eight, QUICK_REPLAY)
    names = {application.name for application in suite.applications}
    reductions = tuple(options.reductions or (QUICK_REDUCTIONS if quick else REDUCTIONS))
    main_one = MAIN if MAIN in reductions else reductions[0]
    time_limit = options.time_limit or (1.0 if quick else 20.0)
    platforms = tuple(options.platforms or (PLATFORMS[:2] if quick else PLATFORMS))
    alone = tuple(name for name in ALONE if name in names)
    whole = Plan(work / "suite", suite, platforms, reductions, main_one, alone, time_limit)
    replay_platforms = REPLAY_PLATFORMS[:1] if quick else REPLAY_PLATFORMS
    reduction = REPLAY_REDUCTION
    own = tuple(application.name for application in eight.applications)
    replay = Plan(
        work / "replay", eight, replay_platforms, (reduction,), reduction, own, time_limit / 2
    )
    return whole, replay


def only(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with these applications alone."""
    kept = tuple(item for item in suite.applications if item.name in names)
    return suite.model_copy(update={"applications": kept})


def watched(plan: Plan) -> Path:
    """Run every application as a program under the monitor; the profile of the log."""
    store = plan.work / "store"
    for application in plan.suite.applications:
        tell(f"monitoring {application.name}")
        program = [str(SUITE.with_name("run.py")), "--suite", plan.suite.source, application.name]
        monitor = ["monitor", "--store", str(store), "--app", application.name, "--"]
        command = [
            *monitor,
            sys.executable,
            *program,
            "--inferences",
            str(inferences(application.weight)),
        ]
        run_verb(command)
    aimatrix.analyze(store, output=plan.work / "profile.json")
    for name in plan.alone:
        aimatrix.analyze(store, app=name, output=plan.work / f"profile-{name}.json")
    return plan.work / "profile.json"


def benchmarks(plan: Plan, profile: Path) -> list[Made]:
    """The one to be shown in full, those of the rest of the curve, those of single applications."""
    ordered = [plan.main, *(each for each in plan.reductions if each != plan.main)]
    made = []
    for reduction in ordered:
        tell(f"making the benchmark of a reduction of {reduction:g}")
        made.append(synthesized(profile, plan.work / f"mix-{reduction:g}", reduction))
    for name in plan.alone:
        tell(f"making the benchmark of {name}")
        made.append(synthesized_alone(plan, name))
    return made


def synthesized_alone(plan: Plan, name: str) -> Made:
    """The benchmark of one application, of `ALONE_REDUCTION` against one inference.

    A reduction is against a round, and counts alone cannot tell an inference of twelve equal layers
    from twelve rounds of one. So a benchmark is asked for its rounds first.
    """
    profile, folder = plan.work / f"profile-{name}.json", plan.work / f"alone-{name}"
    rounds = synthesized(profile, folder, 1.0).stand_in.benchmark.synthesis.rounds
    weight = next(item.weight for item in plan.suite.applications if item.name == name)
    reduction = max(1.0, ALONE_REDUCTION * inferences(weight) / rounds)
    return synthesized(profile, folder, reduction, applications=(name,))


def inferences(weight: float) -> int:
    """How often an application runs while it is watched."""
    return max(1, round(INFERENCES * weight))


def synthesized(
    profile: Path,
    folder: Path,
    reduction: float,
    *,
    applications: tuple[str, ...] = (),
    hash_seed: int = 0,
) -> Made:
    """Make a benchmark with the verb, in a process of its own whose time and memory are taken."""
    form = ["--form", "mix", "--reduction", f"{reduction:g}"]
    words = ["synthesize", str(profile), "-o", str(folder), *form]
    start = perf_counter()
    megabytes = run_verb(words, PYTHONHASHSEED=str(hash_seed))
    seconds = perf_counter() - start
    benchmark = load_benchmark(folder)
    assert isinstance(benchmark, MixBenchmark)  # as the form says
    stand_in = StandIn(benchmark=benchmark, applications=applications)
    return Made(stand_in, folder, reduction, seconds, megabytes)


def same_bits(made: Made, profile: Path) -> bool:
    """Whether another process, whose sets have another order, makes the same benchmark."""
    tell("making a benchmark again, with another order of sets")
    again = synthesized(profile, made.folder.with_name("again"), made.asked, hash_seed=1)
    first, second = (each.folder / "benchmark.json" for each in (made, again))
    return first.read_bytes() == second.read_bytes()


def run_verb(words: Sequence[str], **environment: str) -> float:
    """Run a verb as a user would; the most memory that it held, in megabytes.

    Never less than what this process held when it started the verb, as Linux counts.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aimatrix", *words],
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if process.returncode != 0:
        sys.exit(f"aimatrix {' '.join(words)} ended with {process.returncode}: {said[-2000:]}")
    # kilobytes, but for macOS, where it is bytes
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measured(plan: Plan, made: list[Made]) -> Measured:
    """The benchmarks and the applications, interleaved, in fresh processes for each platform."""
    outcome = Measured(made)
    rows: list[list[PlatformFidelity]] = [[] for _ in made]
    for text in plan.platforms:
        for together in groups(text, made):
            names = ", ".join(made[number].folder.name for number in together)
            tell(f"measuring {names} on {text}")
            stand_ins = [made[number].stand_in for number in together]
            found = on_platform(text, plan, stand_ins)
            if isinstance(found, Unmeasured):
                is_main = 0 in together
                notes = outcome.failed if found.failed else outcome.unsupported
                notes[text if is_main else f"{text}, {names}"] = found.reason
                if is_main:
                    break
                continue
            for number, fidelity in zip(together, found, strict=True):
                rows[number].append(fidelity)
    outcome.validations = [
        mix_validation(item.stand_in, tuple(row)) for item, row in zip(made, rows, strict=True)
    ]
    return outcome


def groups(text: str, made: Sequence[Made]) -> list[list[int]]:
    """The numbers of the benchmarks that share a process; in a crowd, times are not those alone.

    The main one has one of its own, and so has each of a single application; the rest of the curve
    shares one.
    """
    alone = [[number] for number, item in enumerate(made) if item.stand_in.applications]
    curve = [
        number for number, item in enumerate(made) if number and not item.stand_in.applications
    ]
    return [[0]] if text.startswith(COMPILER) else [[0], *filter(None, [curve]), *alone]


def on_platform(
    text: str, plan: Plan, stand_ins: Sequence[StandIn]
) -> list[PlatformFidelity] | Unmeasured:
    """A fidelity of each benchmark, or why the first of them cannot be compared."""
    seconds = plan.time_limit * (ALONE_SHARE if stand_ins[0].applications else 1)
    try:
        platform = parse_platform(text)
        validations = validate_mixes(
            stand_ins,
            plan.suite,
            [platform],
            time_limit=seconds,
            exports=plan.work / "exports",
        )
    except AimatrixError as error:
        return Unmeasured(str(error), failed=True)
    found = [item.platforms[0] for item in validations]
    if found[0].compared:
        return found
    reason = found[0].left_out[0].reason
    return Unmeasured(reason, failed=reason.startswith(DIED))


def is_plain_torch(text: str) -> bool:
    """Where all applications run, so that what cannot leave one out can be compared."""
    backend, dtype, *_ = [*text.split(":"), ""]
    return backend == "torch" and dtype in ("", "float32")


def poster_form(plan: Plan, platforms: Sequence[str]) -> Validation | None:
    """The benchmark of the convolutions alone, of the same log, on these platforms."""
    tell("making and measuring the poster's form")
    folder = plan.work / "poster"
    try:
        made = aimatrix.synthesize(plan.work / "profile.json", folder, form="convolutions")
    except AimatrixError as error:  # there may be no convolution
        tell(f"there is no poster's form of it: {error}")
        return None
    benchmark = made.benchmark
    assert isinstance(benchmark, Benchmark)  # as the form says
    weights = [
        item.model_copy(update={"weight": float(inferences(item.weight))})
        for item in plan.suite.applications
    ]
    suite = plan.suite.model_copy(update={"applications": tuple(weights)})
    named = [parse_platform(text) for text in platforms]
    return validate(benchmark, suite, named, time_limit=plan.time_limit / 2)


def hot_loop(plan: Plan, text: str) -> dict[str, Any]:
    """Operators alone against their applications, in a process of its own."""
    tell(f"timing operators alone on {text}")
    platform = parse_platform(text)
    names = [item.name for item in plan.suite.applications]
    threads = ["--threads", str(platform.threads)] if platform.threads else []
    command = [sys.executable, str(HERE / "hot_loop.py"), *threads, plan.suite.source, *names]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        words = ended.stderr.strip()[-500:]
        return {"name": platform.name, "failed": f"exit code {ended.returncode}: {words}"}
    return {"name": platform.name, **json.loads(ended.stdout)}


def write_report(suite: Measured, folder: Path, page: Path) -> None:
    """The page of all validations, the one of the main benchmark first."""
    paths = []
    for number, validation in enumerate(suite.validations):
        path = folder / "validations" / f"{number:02}.json"
        documents.save(validation, path)
        paths.append(path)
    aimatrix.report(paths, page)


def tell(step: str) -> None:
    """What begins now, on a terminal."""
    if sys.stderr.isatty():
        print(f"{step} ...", file=sys.stderr)


if __name__ == "__main__":
    main()
