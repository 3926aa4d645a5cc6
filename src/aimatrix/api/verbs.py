"""The verbs from the log to the report; `aimatrix.cli` is a thin layer over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from aimatrix import backends, ops, reference
from aimatrix.analysis.profile import build_profile, is_grouped
from aimatrix.api.watching import DEFAULT_STORE, FilePath
from aimatrix.benchmark.check import check_mix, check_work
from aimatrix.benchmark.folder import mix_readme_text, model_source, readme_text
from aimatrix.errors import InputError
from aimatrix.model.artefact import Artefact
from aimatrix.model.benchmark import Benchmark, Stage
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.profile import Profile
from aimatrix.model.result import Platform, RunResult, Validation
from aimatrix.model.workload import WorkloadRecord
from aimatrix.monitoring import any_left, spool_folders
from aimatrix.monitoring.agent.notice import notice
from aimatrix.runner.run import run_benchmark
from aimatrix.store import documents
from aimatrix.store.workload import WorkloadStore
from aimatrix.synthesis.mix import synthesize_mix
from aimatrix.synthesis.synthesize import synthesize_benchmark
from aimatrix.validation import default_platforms, load_suite, parse_platform
from aimatrix.validation import validate as validate_benchmark

SPECIFICATION = "benchmark.json"
#: the forms that `synthesize` makes: a network of the convolutions, or stages of all operators
FORMS = ("convolutions", "mix")
MOST_REDUCTION = 1000
#: what may lie beside it
FILES = ("model.onnx", "model.py", "README.md")

A = TypeVar("A", bound=Artefact)


@dataclass(frozen=True, slots=True)
class Synthesized:
    """What `synthesize` made, and how long its searches took."""

    benchmark: Benchmark | MixBenchmark
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One platform of `compare`: its predicted time of the mix, and that over the first one's."""

    platform: Platform
    predicted_seconds: float
    ratio: float


def analyze(
    store: FilePath = DEFAULT_STORE,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    app: str | None = None,
    centers: Sequence[int] | None = None,
    split_groups: bool = False,
    output: FilePath | None = None,
) -> Profile:
    """Group the log's convolutions and total them; write the profile to ``output`` if given.

    since, until: whose windows start in ``since <= start < until``. app: a glob. centers: the
    input sizes that groups form around, found in the data by default. split_groups: count a
    grouped convolution as its groups. Raises InputError for a store that cannot be read.
    """
    documents.check_writable(output)
    records = _read_log(Path(store), since, until, app)
    pairs = WorkloadStore(Path(store)).pairs(since, until, app)
    profile = build_profile(records, pairs, centers=centers, split_groups=split_groups)
    if output is not None:
        documents.save(profile, Path(output))
    return profile


def synthesize(
    profile: FilePath,
    output: FilePath,
    *,
    form: str | None = None,
    reduction: float | None = None,
    search: str | None = None,
    seed: int = 0,
    on_stage: Callable[[Stage], None] | None = None,
) -> Synthesized:
    """Make the benchmark of the profile in a file, and write its folder to ``output``.

    form: ``mix`` for all operators; ``convolutions`` for 2-D ones alone, as one network, the
    poster's form; by default that one where these do most of the MACs, and a mix elsewhere.
    reduction: of a mix, and a wish for one: how many times shorter than a round of it a pass is to
    be, by the imagined machines; by default as short as its own estimate of its error allows.
    search, on_stage: of convolutions, and a wish for these.
    Raises InputError for a profile that cannot be read or holds nothing of the form, for a form
    or a reduction that there is not, and for a folder that holds something else than a benchmark.
    """
    if form is None:
        form = "mix" if reduction is not None else "convolutions" if search else None
    if form not in (*FORMS, None):
        raise InputError(f"form is {form!r}; it has to be one of {', '.join(FORMS)}")
    if reduction is not None and not (form == "mix" and 1 <= reduction <= MOST_REDUCTION):
        raise InputError(
            f"reduction is {reduction:g}; it is of a mix alone, and at least 1 and at most"
            f" {MOST_REDUCTION}"
        )
    output = Path(output)
    _check_folder(output)
    source = documents.load(Profile, Path(profile))
    digest = documents.digest(source)
    if (form or _usual_form(source)) == "mix":
        start = perf_counter()
        mix = synthesize_mix(source, digest, reduction=reduction, seed=seed)
        synthesized = Synthesized(mix, perf_counter() - start)
        _write_folder(output, mix, _mix_files(mix))
        return synthesized
    from aimatrix.backends import onnx_model  # takes onnx, which no other verb needs

    benchmark, seconds = synthesize_benchmark(
        source, digest, search=search or "default", seed=seed, on_stage=on_stage
    )
    files = {
        "model.onnx": onnx_model.export(benchmark),
        "model.py": model_source(benchmark).encode(),
        "README.md": readme_text(benchmark).encode(),
    }
    _write_folder(output, benchmark, files)
    return Synthesized(benchmark, seconds)


def _usual_form(profile: Profile) -> str:
    """Convolutions where these do most of the MACs, as in the poster's networks."""
    macs = [(item.call, item.calls * (ops.cost(item.call).macs or 0)) for item in profile.operators]
    grouped = sum(each for call, each in macs if is_grouped(call))
    mostly = grouped and 2 * grouped >= sum(each for _, each in macs)
    return "convolutions" if mostly or not macs else "mix"


def _mix_files(mix: MixBenchmark) -> dict[str, bytes]:
    from aimatrix.backends import torch_program  # takes torch, which most verbs do without

    return {
        "model.py": torch_program.source(mix).encode(),
        "README.md": mix_readme_text(mix).encode(),
    }


def _write_folder(
    output: Path, benchmark: Benchmark | MixBenchmark, files: Mapping[str, bytes]
) -> None:
    """Write a benchmark's folder, in place of one that was there."""
    # no specification before the rest is there: a folder that has one is whole
    if output.is_dir():
        for name in (SPECIFICATION, *FILES):
            documents.remove(output / name)
    for name, content in files.items():
        documents.write_bytes(output / name, content)
    documents.save(benchmark, output / SPECIFICATION)


def run(
    folder: FilePath,
    *,
    backend: str = "torch",
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    time_limit: float = 30.0,
    output: FilePath | None = None,
    progress: Callable[[float], None] | None = None,
) -> RunResult:
    """Run the benchmark of a folder on one platform; write the result to ``output`` if given.

    Raises InputError for a folder that cannot be read or a backend that is not installed,
    UnsupportedError for what the backend cannot do.
    """
    documents.check_writable(output)
    benchmark = load_benchmark(folder)
    platform = Platform(backend=backend, device=device, dtype=dtype, threads=threads)
    result = run_benchmark(
        benchmark, backends.get(backend), platform, time_limit=time_limit, progress=progress
    )
    if output is not None:
        documents.save(result, Path(output))
    return result


def validate(
    folder: FilePath,
    suite: FilePath,
    *,
    platform: Sequence[Platform | str] | None = None,
    time_limit: float = 8.0,
    output: FilePath | None = None,
    progress: Callable[[Platform], None] | None = None,
) -> Validation:
    """Measure a suite's applications and the benchmark interleaved on each platform.

    platform: platforms, or their spellings (``torch:float32:2``); four of this machine by default
    (`aimatrix.validation.default_platforms`). time_limit: seconds of measuring a platform. Raises
    InputError for a bad folder, suite or spelling.
    """
    documents.check_writable(output)
    named = [parse_platform(item) if isinstance(item, str) else item for item in platform or ()]
    benchmark, applications = load_benchmark(folder), load_suite(Path(suite))
    validation = validate_benchmark(
        benchmark,
        applications,
        named or default_platforms(),
        time_limit=time_limit,
        progress=progress,
    )
    if output is not None:
        documents.save(validation, Path(output))
    return validation


def compare(results: Sequence[FilePath]) -> list[Comparison]:
    """The results of one benchmark on several platforms, side by side, in the given order.

    Raises InputError when there is none, or when they are not of one benchmark.
    """
    if not results:
        raise InputError("there is nothing to compare; name at least one result file")
    loaded = [documents.load(RunResult, Path(path)) for path in results]
    first = loaded[0]
    for path, result in zip(results, loaded, strict=True):
        if result.benchmark_digest != first.benchmark_digest:
            raise InputError(
                f"{path}: field benchmark_digest: is of another benchmark than {results[0]};"
                " compare results of one benchmark"
            )
    return [
        Comparison(
            result.platform,
            result.predicted_seconds,
            result.predicted_seconds / first.predicted_seconds,
        )
        for result in loaded
    ]


def report(paths: Sequence[FilePath], output: FilePath, *, published: bool = False) -> Path:
    """Write one HTML page on all artefacts in ``paths`` (files, or folders of them).

    published: show the poster's tables beside, for the classic networks. Raises InputError when
    a file is no artefact, or there is none.
    """
    from aimatrix.reporting.page import render  # a third of a second that the others do not need

    output = Path(output)
    files = dict.fromkeys(file for path in paths for file in documents.files(Path(path), ARTEFACTS))
    artefacts = [documents.load(kind, file) for file, kind in files]
    if not artefacts:
        raise InputError(f"{paths[0] if paths else 'no path'}: holds no artefact of AI Matrix")
    page = render(
        profile=_only(Profile, artefacts),
        benchmark=_only(Benchmark, artefacts),
        results=[item for item in artefacts if isinstance(item, RunResult)],
        validations=[item for item in artefacts if isinstance(item, Validation)],
        reference=reference.published_tables() if published else None,
    )
    documents.write_text(output, page)
    return output


def _read_log(
    store: Path, since: datetime | None, until: datetime | None, app: str | None
) -> list[WorkloadRecord]:
    """The selected records; says so when there are counts that have not reached the log."""
    holders = [spools for spools in spool_folders(store) if any_left(spools)]
    left = " and ".join(map(str, holders))
    hint = f"an earlier run left counts in {left}, which `aimatrix collect` brings in"
    try:
        records = WorkloadStore(store).totals(since, until, app)
    except InputError as error:
        if left:
            raise InputError(f"{error}; {hint}") from error
        raise
    if left:
        notice(hint)
    return records


#: every kind of artefact that `report` reads
ARTEFACTS: tuple[type[Artefact], ...] = (Profile, Benchmark, RunResult, Validation)


def load_benchmark(folder: FilePath) -> Benchmark | MixBenchmark:
    """The specification in a benchmark folder (or a specification file itself)."""
    folder = Path(folder)
    path = folder / SPECIFICATION if folder.is_dir() else folder
    if documents.schema(path) == MixBenchmark.SCHEMA:
        benchmark: Benchmark | MixBenchmark = documents.load(MixBenchmark, path)
    else:
        benchmark = documents.load(Benchmark, path)
    try:
        if isinstance(benchmark, MixBenchmark):
            check_mix(benchmark)
        else:
            check_work(benchmark)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return benchmark


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose files are not a benchmark's; nothing of it is overwritten then."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SPECIFICATION).is_file():
        raise InputError(
            f"{folder}: holds files that are no benchmark; name another folder, or empty this one"
        )


def _only(kind: type[A], artefacts: Sequence[Artefact]) -> A | None:
    found = [item for item in artefacts if isinstance(item, kind)]
    if len(found) > 1:
        raise InputError(
            f"a report is on one {kind.SCHEMA.removeprefix('aimatrix.')}, and {len(found)} were"
            " given; name the files instead of a folder"
        )
    return found[0] if found else None
