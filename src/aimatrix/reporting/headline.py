"""The report's answer in numbers, and the command lines that make everything again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from aimatrix.model.benchmark import Benchmark
from aimatrix.model.profile import Profile
from aimatrix.model.result import PlatformFidelity, RunResult, Validation
from aimatrix.reporting import formats
from aimatrix.reporting.mixes import largest, mixes, networks
from aimatrix.reporting.times import measured, reduction


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure in large type, what it is, and a remark below it."""

    value: str
    label: str
    remark: str = ""


def facts(
    profile: Profile | None,
    benchmark: Benchmark | None,
    results: Sequence[RunResult],
    validations: Sequence[Validation],
) -> list[Fact]:
    """The figures of the headline that can be had from what is there."""
    found = []
    if profile is not None:
        found += _profile_facts(profile)
    elif benchmark is not None:
        found.append(Fact(f"{benchmark.applications:,}", _noun(benchmark.applications)))
    if benchmark is not None:
        found += _benchmark_facts(benchmark)
    platforms = measured(networks(validations))
    shown = mixes(validations)
    if shown is not None:
        found += _mix_facts(shown.shown)
    if platforms:
        found += _validation_facts(platforms)
    elif results:
        best = min(results, key=lambda result: result.total.median)
        found.append(Fact(formats.seconds(best.total.median), "fastest pass", best.platform.name))
    return found


def summary(
    profile: Profile | None, benchmark: Benchmark | None, validations: Sequence[Validation]
) -> str:
    """One sentence on what the page is about."""
    shown = mixes(validations)
    if shown is not None:
        return _mix_summary(shown.shown)
    if benchmark is not None:
        layers = sum(len(stage.layers) for stage in benchmark.stages)
        macs = sum(stage.multiplicity * stage.macs for stage in benchmark.stages)
        return (
            f"A synthetic model of {formats.plural(len(benchmark.stages), 'stage')} and"
            f" {formats.plural(layers, 'convolution')} stands for the"
            f" {formats.scaled(macs, 'MACs')} of convolutions of"
            f" {formats.plural(benchmark.applications, 'application')}, group by group."
        )
    if profile is not None:
        macs = sum(group.macs for group in profile.groups)
        return (
            f"{formats.plural(profile.applications, 'application')} made"
            f" {formats.plural(profile.calls, 'operator call')}; their convolutions do"
            f" {formats.scaled(macs, 'MACs')} in {formats.plural(len(profile.groups), 'group')}."
        )
    return "Times of a synthetic benchmark."


def commands(
    profile: Profile | None,
    benchmark: Benchmark | None,
    results: Sequence[RunResult],
    validations: Sequence[Validation],
    *,
    published: bool,
) -> list[str]:
    """Command lines that make the artefacts again, quoted for a shell."""
    lines = []
    if profile is not None:
        sizes = ",".join(str(group.center) for group in profile.groups)
        centers = f" --centers {sizes}" if sizes else ""
        split = " --split-groups" if profile.split_groups else ""
        lines.append("aimatrix monitor --store store -- COMMAND")
        lines.append(f"aimatrix analyze --store store{centers}{split} -o profile.json")
    if benchmark is not None:
        synthesis = benchmark.synthesis
        lines.append(
            f"aimatrix synthesize profile.json --search {_quoted(synthesis.search)}"
            f" --seed {synthesis.seed} -o benchmark"
        )
    lines += dict.fromkeys(_run_command(result) for result in results)
    if validations:
        lines.append("aimatrix validate benchmark --suite SUITE -o validation.json")
    if lines:
        files = [
            *(["profile.json"] if profile is not None else []),
            *(["benchmark"] if benchmark is not None else []),
            *(["result.json"] if results else []),
            *(["validation.json"] if validations else []),
        ]
        option = " --published" if published else ""
        lines.append(f"aimatrix report {' '.join(files)}{option} -o report.html")
    return lines


def _profile_facts(profile: Profile) -> list[Fact]:
    since, until = (f"{time:%Y-%m-%d %H:%M}" for time in (profile.since, profile.until))
    return [
        Fact(
            f"{profile.applications:,}",
            _noun(profile.applications),
            f"{formats.plural(profile.calls, 'operator call')} on"
            f" {formats.plural(profile.hosts, 'host')}, {since} to {until}",
        ),
        Fact(
            f"{len(profile.groups):,}",
            "group of convolutions" if len(profile.groups) == 1 else "groups of convolutions",
            f"hold {formats.share(profile.coverage.macs)} of the known MACs,"
            f" {formats.share(profile.coverage.calls)} of the calls",
        ),
    ]


def _benchmark_facts(benchmark: Benchmark) -> list[Fact]:
    worst = max(benchmark.stages, key=lambda stage: stage.fitness_error)
    return [
        Fact(
            formats.fitness(worst.fitness_error),
            "largest fitness error",
            f"in {worst.name}; terms: {', '.join(benchmark.synthesis.terms)}",
        )
    ]


def _validation_facts(platforms: Sequence[PlatformFidelity]) -> list[Fact]:
    found = _reduction_facts(platforms, "time of the whole models / time of one pass")
    for label, rows in (
        ("whole models", [(item, item.whole) for item in platforms]),
        ("convolutions", [(item, item.convolutions) for item in platforms]),
    ):
        errors = [(item.platform.name, row.error) for item, row in rows if row is not None]
        if errors:
            worst = max((error for _, error in errors), key=abs)
            each = [f"{name}: {formats.signed(error)}" for name, error in errors]
            found.append(
                Fact(
                    formats.signed(worst),
                    f"largest fidelity error, {label}",
                    formats.listing(each, separator="; "),
                )
            )
    return found


def _reduction_facts(platforms: Sequence[PlatformFidelity], remark: str) -> list[Fact]:
    factors = [factor for item in platforms if (factor := reduction(item)) is not None]
    if not factors:
        return []
    low, high = formats.times(min(factors)), formats.times(max(factors))
    return [Fact(low if low == high else f"{low} to {high}", "reduction", remark)]


def _mix_facts(validation: Validation) -> list[Fact]:
    platforms = measured([validation])
    found = _reduction_facts(platforms, "time of the suite / time of one pass")
    suite = [(item.platform.name, item.whole.error) for item in platforms if item.whole is not None]
    classes = [
        (f"{row.name}, {item.platform.name}", row.error)
        for item in platforms
        for row in item.classes
    ]
    pairs = [(f"{pair.first} against {pair.second}", pair.error) for pair in validation.ratios]
    for label, errors in (
        ("largest error of the suite's time", suite),
        ("largest error of a class", classes),
        ("largest error of a ratio of platforms", pairs),
    ):
        worst = largest(errors)
        if worst is not None:
            found.append(Fact(formats.signed(worst[1]), label, worst[0]))
    return found


def _mix_summary(validation: Validation) -> str:
    platforms = measured([validation])
    applications = {each.name for item in platforms for each in item.applications}
    return (
        f"A synthetic benchmark tells how long {formats.plural(len(applications), 'application')}"
        f" take on {formats.plural(len(platforms), 'platform')}."
    )


def _run_command(result: RunResult) -> str:
    platform = result.platform
    threads = f" --threads {platform.threads}" if platform.threads else ""
    return (
        f"aimatrix run benchmark --backend {_quoted(platform.backend)}"
        f" --device {_quoted(platform.device)} --dtype {_quoted(platform.dtype)}{threads}"
        " -o result.json"
    )


def _quoted(text: str) -> str:
    return shlex.quote(formats.visible(text))


def _noun(applications: int) -> str:
    return "application" if applications == 1 else "applications"
