"""Prints artefacts as tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aimatrix.cli.options import print_table
from aimatrix.model.artefact import Sides, expand
from aimatrix.model.benchmark import MATCHED, Benchmark
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.profile import Filter, Group, Profile
from aimatrix.model.result import FidelityRow, PlatformFidelity, RunResult, Validation
from aimatrix.reporting import formats
from aimatrix.reporting.formats import visible

if TYPE_CHECKING:
    from aimatrix.api import Comparison

#: unknown operators that are named; the profile has all
MOST_UNKNOWN = 10
#: stages of a mix that are shown; the folder's README has all
MOST_STAGES = 20

#: how far the work of a suite may be from what a benchmark stands for without a word
ALIKE = 0.02


def print_profile(profile: Profile) -> None:
    """The poster's table 1, and what falls outside of it."""
    rows = [
        [
            f"{number} ({group.center} x {group.center})",
            ", ".join(_filter(item) for item in group.filters),
            f"{group.macs:,}",
            f"{group.warps:,}",
            f"{group.bytes:,}",
        ]
        for number, group in enumerate(profile.groups, start=1)
    ]
    period = f"{profile.since:%Y-%m-%d %H:%M} to {profile.until:%Y-%m-%d %H:%M} UTC"
    title = (
        f"{profile.calls:,} operator calls of {profile.applications} applications on"
        f" {profile.hosts} hosts, {period}"
    )
    warps = f"warps ({_warps_kind(profile.groups)})"
    print_table(title, ["group", "filters: kernel / stride x count", "MACs", warps, "bytes"], rows)
    coverage = profile.coverage
    print(
        f"\ninside the groups: {coverage.calls:.1%} of calls,"
        f" {coverage.macs:.2%} of the known MACs, {coverage.bytes:.1%} of bytes"
    )
    if coverage.known_calls is not None and coverage.known_bytes is not None:
        print(
            f"of known families: {formats.share(coverage.known_calls)} of calls,"
            f" {formats.share(coverage.known_bytes)} of bytes"
        )
    if coverage.calls_without_macs:
        print(f"the MACs of {coverage.calls_without_macs:,} calls are not known")
    if coverage.estimated_calls:
        print(f"{coverage.estimated_calls:,} calls are estimates from sampling")
    outside = [
        [
            row.family,
            f"{row.calls:,}",
            "not known" if row.macs is None else f"{row.macs:,}",
            f"{row.bytes:,}",
            ", ".join(row.kinds[:6]) + (" ..." if len(row.kinds) > 6 else ""),
        ]
        for row in profile.other
    ]
    if outside:
        print_table("outside of them", ["family", "calls", "MACs", "bytes", "kinds"], outside)
    if profile.unknown:
        by_calls = [f"{visible(row.name)} ({row.calls:,})" for row in profile.unknown]
        by_bytes = [
            f"{visible(row.name)} ({formats.scaled(row.bytes, 'B')})"
            for row in sorted(profile.unknown, key=lambda row: (-row.bytes, row.name))
        ]
        print(f"unknown operators, by calls: {', '.join(by_calls[:MOST_UNKNOWN])}")
        print(f"unknown operators, by bytes: {', '.join(by_bytes[:MOST_UNKNOWN])}")


def print_benchmark(benchmark: Benchmark, seconds: float) -> None:
    """The poster's table 2: MACs and warps, real against synthetic, and the fitness error."""
    rows = [
        [
            f"{number} ({stage.center} x {stage.center})",
            str(len(stage.layers)),
            f"{stage.target_macs:,}",
            f"{stage.macs * stage.multiplicity:,.0f}",
            f"{stage.target_warps:,}",
            f"{stage.warps * stage.multiplicity:,.0f}",
            f"{100 * stage.fitness_error:.4f}",
            f"{stage.multiplicity:g}",
        ]
        for number, stage in enumerate(benchmark.stages, start=1)
    ]
    columns = ["group", "layers", "real MACs", "MACs", "real warps", "warps", "error %", "times"]
    title = (
        f"search {benchmark.synthesis.search}, seed {benchmark.synthesis.seed},"
        f" {seconds:.2f} s; warps are {benchmark.synthesis.warps_kind}"
    )
    print_table(title, columns, rows)
    missed = [stage for stage in benchmark.stages if not stage.matched]
    for stage in missed:
        print(f"inputs of {stage.center}: no widths were found that match to {MATCHED:.2%}")
    added = benchmark.added
    print(
        f"\nthe layout adds {added.operators} operators, {added.macs} MACs, {added.bytes:,} bytes"
    )


def print_made(benchmark: Benchmark | MixBenchmark, seconds: float) -> None:
    """What `synthesize` made."""
    if isinstance(benchmark, MixBenchmark):
        print_mix(benchmark, seconds)
    else:
        print_benchmark(benchmark, seconds)


def print_mix(benchmark: MixBenchmark, seconds: float) -> None:
    """The stages with most MACs and bytes of the mix, and what the benchmark says of itself."""
    rows = [
        [
            stage.name,
            f"{stage.target_calls:,}",
            f"{stage.target_macs:,}",
            f"{stage.macs * stage.multiplicity:,.0f}",
            f"{stage.target_bytes:,}",
            f"{stage.bytes * stage.multiplicity:,.0f}",
            f"{stage.multiplicity:.4g}",
        ]
        for stage in benchmark.stages[:MOST_STAGES]
    ]
    synthesis = benchmark.synthesis
    title = f"{len(benchmark.stages)} stages, seed {synthesis.seed}, {seconds:.2f} s"
    columns = ["stage", "calls", "real MACs", "MACs", "real bytes", "bytes", "times"]
    print_table(title, columns, rows)
    if len(benchmark.stages) > MOST_STAGES:
        print(f"and {len(benchmark.stages) - MOST_STAGES} more, which take less of the time")
    print(
        f"\non imagined machines a pass is {synthesis.estimated_reduction:.1f} times shorter than"
        f" a round of the mix, and predicts its time to {synthesis.estimated_error:.1%}"
    )


def print_run(result: RunResult) -> None:
    """Times per stage and of the pass, and the predicted time of the mix."""
    named = [(stage.name, stage.timing) for stage in result.stages]
    rows = [
        [name, _ms(timing.median), _ms(timing.p10), _ms(timing.p90), f"{timing.spread:.1%}"]
        for name, timing in [*named, ("pass", result.total)]
    ]
    title = f"{result.platform.name}: {len(result.total.samples)} passes"
    print_table(title, ["", "median ms", "p10", "p90", "spread"], rows)
    print(f"\npredicted time of the mix: {_ms(result.predicted_seconds)} ms")
    if result.not_run:
        print(f"without the stages that {result.platform.backend} does not run:", end=" ")
        print(", ".join(result.not_run))
    if not result.steady:
        print("the spread stayed large until the time limit: the machine was not quiet")


def print_validation(validation: Validation) -> None:
    """Fidelity errors per platform: convolutions alone per group and in total, whole models."""
    for platform in validation.platforms:
        _print_platform(platform)
    _print_ratios(validation)


def print_comparison(comparisons: Sequence[Comparison]) -> None:
    """Predicted times side by side."""
    rows = [
        [item.platform.name, _ms(item.predicted_seconds), f"{item.ratio:.3f}"]
        for item in comparisons
    ]
    print_table("", ["platform", "predicted ms", "ratio to the first"], rows)


def _print_platform(platform: PlatformFidelity) -> None:
    named = [(f"convolutions, {row.name}", row) for row in platform.groups]
    if platform.convolutions is not None:
        named.append(("convolutions, all", platform.convolutions))
    if platform.whole is not None:
        named.append(("whole models", platform.whole))
    named += [(f"class {row.name}", row) for row in platform.classes]
    if named:
        rows = [_fidelity(name, row) for name, row in named]
        columns = ["", "real ms", "spread", "predicted ms", "spread", "error"]
        print_table(platform.platform.name, columns, rows)
    _print_applications(platform)
    share = platform.suite_share
    if share is not None and abs(share - 1) > ALIKE:
        print(
            f"the suite's convolutions do {share:.2f} times the MACs that the benchmark stands for:"
            " give each application as its weight how often the log has it"
        )
    for left_out in platform.left_out:
        print(visible(f"left out on {platform.platform.name}: {left_out.name}: {left_out.reason}"))
    print()


def _print_applications(platform: PlatformFidelity) -> None:
    """What a mix's benchmark predicts for each application; nothing of convolutions alone."""
    rows = [
        [
            visible(item.name),
            _ms(item.timing.median),
            f"{item.timing.spread:.1%}",
            _ms(item.predicted_seconds),
            "" if item.predicted is None else f"{item.predicted.spread:.1%}",
            f"{item.predicted_seconds / item.timing.median - 1:+.1%}",
        ]
        for item in platform.applications
        if item.predicted_seconds is not None
    ]
    if rows:
        columns = ["application", "real ms", "spread", "predicted ms", "spread", "error"]
        print_table("", columns, rows)
    if platform.whole is not None and rows:
        shorter = platform.whole.real.median / platform.whole.synthetic.median
        rounds = len(platform.whole.real.samples)
        print(
            f"a pass of the benchmark is {shorter:.1f} times shorter than the suite; medians of"
            f" {rounds} rounds, spread: (p90 - p10) / median"
        )


def _print_ratios(validation: Validation) -> None:
    """How many times as long one platform takes as another; nothing of convolutions alone."""
    if not validation.ratios:
        return
    rows = [
        [
            f"{pair.first} / {pair.second}",
            f"{pair.applications}",
            f"{pair.real:.3f}",
            f"{pair.predicted:.3f}",
            f"{pair.error:+.1%}",
        ]
        for pair in validation.ratios
    ]
    columns = ["platforms", "applications", "real ratio", "predicted", "error"]
    print_table("ratios between platforms", columns, rows)
    worst = max(validation.ratios, key=lambda pair: abs(pair.error))
    print(
        f"largest error of a ratio: {worst.error:+.1%} ({worst.first} / {worst.second}); rank"
        f" agreement (Kendall's tau): {validation.rank_agreement:.2f}"
    )


def _fidelity(name: str, row: FidelityRow) -> list[str]:
    return [
        name,
        _ms(row.real.median),
        f"{row.real.spread:.1%}",
        _ms(row.predicted_seconds),
        f"{(row.predicted or row.synthetic).spread:.1%}",
        f"{row.error:+.1%}",
    ]


def _filter(item: Filter) -> str:
    stride = expand(item.stride)
    strided = "" if set(stride) == {1} else f"/{_sides(item.stride)}"
    depthwise = " depthwise" if item.depthwise else ""
    return f"{'x'.join(map(str, expand(item.kernel_size)))}{strided}{depthwise} x {item.count}"


def _sides(value: Sides) -> str:
    return str(value) if isinstance(value, int) else "x".join(map(str, value))


def _warps_kind(groups: Sequence[Group]) -> str:
    return " and ".join(sorted({group.warps_kind for group in groups})) or "derived"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.3f}"
