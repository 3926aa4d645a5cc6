"""Puts the report together: one HTML page that needs nothing else and runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from aimatrix.model.benchmark import MATCHED, Benchmark
from aimatrix.model.profile import Profile
from aimatrix.model.result import RunResult, Validation
from aimatrix.reference import PublishedTables
from aimatrix.reporting import charts, figures, formats, headline, mixes, tables, times
from aimatrix.reporting.figures import Curve, Figure
from aimatrix.reporting.tables import Table
from aimatrix.store.documents import digest
from aimatrix.version import VERSION


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: paragraphs, then figures, then tables, then tables that fold away."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure | Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[tuple[str, tuple[Table, ...]], ...] = ()


def render(
    *,
    profile: Profile | None,
    benchmark: Benchmark | None,
    results: Sequence[RunResult],
    validations: Sequence[Validation],
    reference: PublishedTables | None,
) -> str:
    """One self-contained HTML page on everything that is given; what is missing has no place.

    ``reference``: the published tables, when the applications are the poster's classic networks.
    """
    sections = [
        *_profile_section(profile, reference),
        *_fit_section(benchmark, reference),
        *_model_section(benchmark),
        *_mix_section(mixes.mixes(validations)),
        *_fidelity_section(mixes.networks(validations)),
        *_runs_section(results),
    ]
    environment = Environment(
        loader=PackageLoader("aimatrix.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        summary=headline.summary(profile, benchmark, validations),
        facts=headline.facts(profile, benchmark, results, validations),
        doubts=_doubts(profile, benchmark, results, validations),
        sections=sections,
        draw=charts.draw,
        reference=reference,
        versions=_versions(profile, benchmark, results, validations),
        commands=headline.commands(
            profile, benchmark, results, validations, published=reference is not None
        ),
    )


def _finalize(value: Any) -> Any:
    """Make control characters visible in all text; markup of our own passes as it is."""
    return formats.visible(value) if type(value) is str else value


def _profile_section(
    profile: Profile | None, reference: PublishedTables | None
) -> Iterator[Section]:
    if profile is None:
        return
    split = (
        "Each grouped convolution is counted as its groups, as the poster counted them."
        if profile.split_groups
        else "A grouped convolution is counted as one operator."
    )
    published = tables.published_groups_table(profile, reference) if reference else None
    unknown = tables.unknown_table(profile)
    text = (f"2-D convolutions, clustered by the size of their input. {split}",)
    yield Section(
        anchor="stands-for",
        title="What the benchmark stands for",
        text=(*text, _GOOGLENET) if published else text,
        figures=(figures.macs_figure(profile, reference),) if profile.groups else (),
        tables=(
            tables.groups_table(profile),
            *([published] if published else []),
            tables.coverage_table(profile),
            *([unknown] if unknown else []),
        ),
    )


_GOOGLENET = (
    "The groups of 14 and 7 differ from the poster's on purpose: its filter counts and MACs say"
    " that the authors' GoogLeNet departs from the published one in its last modules. There, some"
    " five-by-five filters ran as one-by-one (two of five at 14, both at 7), and one"
    " three-by-three layer at 14 had half its outputs. We count the GoogLeNet of its paper;"
    " with these changes the poster's figures come out to the last digit."
)


def _fit_section(
    benchmark: Benchmark | None, reference: PublishedTables | None
) -> Iterator[Section]:
    if benchmark is None:
        return
    synthesis = benchmark.synthesis
    terms = ", ".join(f"{weight:g} × {term}" for term, weight in synthesis.terms.items())  # noqa: RUF001
    yield Section(
        anchor="how-well",
        title="How well it fits",
        text=(
            f"The widths of the layers were found by the search {synthesis.search!r} with seed"
            f" {synthesis.seed}, fitted to: {terms}.",
            *_missed(benchmark),
        ),
        figures=(figures.macs_fit_figure(benchmark), figures.warps_fit_figure(benchmark)),
        tables=(tables.fit_table(benchmark, reference),),
    )


def _missed(benchmark: Benchmark) -> Iterator[str]:
    """A sentence on the stages that do not do the work of their group closely enough."""
    missed = [
        f"{stage.name} ({formats.fitness(stage.fitness_error)})"
        for stage in benchmark.stages
        if not stage.matched
    ]
    if missed:
        yield (
            f"Not matched to the aim of {100 * MATCHED:g} %: {formats.listing(missed)}. No widths"
            " were found that match better; read the predicted times of these stages with care."
        )


def _model_section(benchmark: Benchmark | None) -> Iterator[Section]:
    if benchmark is None:
        return
    added = benchmark.added
    yield Section(
        anchor="model",
        title="The model",
        text=(
            f"Batch {benchmark.batch}, {benchmark.dtype}. A chain runs through each stage and"
            " keeps its size; branches read the stage's input beside it. A layer is written as"
            " its filter, its stride where it is not 1, and its widths.",
            f"Joining the stages adds {formats.plural(added.operators, 'operator')} a pass, which"
            f" move {formats.scaled(added.bytes, 'B')} and do no MACs.",
        ),
        tables=(tables.model_table(benchmark),),
    )


def _mix_section(found: mixes.Mixes | None) -> Iterator[Section]:
    if found is None:
        return
    shown, points = found.shown, mixes.curve(found)
    platforms = times.measured([shown])
    left = times.left_out([shown])
    environments = times.environments_table(
        (item.platform.name, item.environment) for item in platforms
    )
    candidates = (
        mixes.platforms_table(shown),
        mixes.classes_table(shown),
        mixes.applications_table(shown),
        mixes.ratios_table(shown),
        mixes.curve_table(points) if len(points) > 1 else None,
        mixes.parts_table(found),
        times.left_out_table(left) if left else None,
        environments,
    )
    yield Section(
        anchor="mix",
        title="How well the mix tells the time",
        text=(
            "Whole applications and a benchmark of all their operators, measured in the same"
            " rounds on each platform. No time that was measured went into the benchmark. The error"
            " is predicted / real time - 1: below zero, the benchmark is too fast.",
        ),
        figures=(
            figures.suite_errors_figure(platforms),
            *([figures.curve_figure(points)] if len(points) > 1 else []),
        ),
        tables=tuple(table for table in candidates if table is not None),
        folded=tuple(
            (item.platform.name, (mixes.application_times_table(item),)) for item in platforms
        ),
    )


def _fidelity_section(validations: Sequence[Validation]) -> Iterator[Section]:
    platforms = times.measured(validations)
    left = times.left_out(validations)
    if not platforms and not left:
        return
    details = []
    for fidelity in platforms:
        applications = times.applications_table(fidelity)
        parts = (times.fidelity_table(fidelity), *([applications] if applications else []))
        details.append((fidelity.platform.name, parts))
    environments = times.environments_table(
        (item.platform.name, item.environment) for item in platforms
    )
    yield Section(
        anchor="fidelity",
        title="How well it tells the time",
        text=(
            "Real applications and the benchmark, measured interleaved on each platform. The error"
            " is predicted / real time - 1: below zero, the benchmark is too fast.",
        ),
        figures=tuple(figures.error_figures(platforms)),
        tables=(
            *([times.errors_table(platforms)] if platforms else []),
            *([times.left_out_table(left)] if left else []),
            *([environments] if environments else []),
        ),
        folded=tuple(details),
    )


def _runs_section(results: Sequence[RunResult]) -> Iterator[Section]:
    if not results:
        return
    environments = times.environments_table(
        (result.platform.name, result.environment) for result in results
    )
    yield Section(
        anchor="times",
        title="Times per platform",
        text=("The benchmark alone: whole passes, and its stages timed inside the pass.",),
        figures=(figures.passes_figure(results),),
        tables=(
            times.runs_table(results),
            times.stages_table(results),
            *([environments] if environments else []),
        ),
    )


def _doubts(
    profile: Profile | None,
    benchmark: Benchmark | None,
    results: Sequence[RunResult],
    validations: Sequence[Validation],
) -> list[str]:
    """Sentences on artefacts that do not belong together."""
    if benchmark is None:
        return []
    doubts = []
    if profile is not None and benchmark.synthesis.profile_digest != digest(profile):
        doubts.append("The benchmark was made from another profile than the one shown here.")
    ours = digest(benchmark)
    foreign = [run.platform.name for run in results if run.benchmark_digest != ours]
    if foreign:
        doubts.append(f"Other benchmarks than this one were run on: {'; '.join(foreign)}.")
    if any(item.benchmark_digest != ours for item in mixes.networks(validations)):
        doubts.append("A validation was made with another benchmark than the one shown here.")
    return doubts


def _versions(
    profile: Profile | None,
    benchmark: Benchmark | None,
    results: Sequence[RunResult],
    validations: Sequence[Validation],
) -> list[str]:
    """Which version wrote what."""
    artefacts = [
        *([("profile", profile)] if profile else []),
        *([("benchmark", benchmark)] if benchmark else []),
        *(("result", result) for result in results),
        *(("validation", validation) for validation in validations),
    ]
    lines = [f"report: aimatrix {VERSION}"]
    lines += [
        f"{name}: aimatrix {artefact.aimatrix_version}, schema {artefact.schema_version}"
        for name, artefact in artefacts
    ]
    return list(dict.fromkeys(lines))
