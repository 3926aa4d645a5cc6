"""The figures of the report, as plain values: what `charts` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aimatrix.model.benchmark import Benchmark, Stage
from aimatrix.model.profile import Profile
from aimatrix.model.result import PlatformFidelity, RunResult
from aimatrix.reference import PublishedTables
from aimatrix.reporting import formats
from aimatrix.reporting.mixes import CurvePoint
from aimatrix.reporting.times import group_names


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: which row it stands in, of which series it is, its value, and its label."""

    row: str
    series: str
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A bar chart of one quantity: title, axis with its unit, bars in order.

    description: what a reader who cannot see it is told. domain: the axis' ends; None fits them.
    """

    title: str
    axis: str
    bars: tuple[Bar, ...]
    description: str
    series: tuple[str, ...] = field(default=())
    domain: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve, and of which series it is."""

    series: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over an axis of factors (logarithmic); axes with their units, points in order."""

    title: str
    x_axis: str
    y_axis: str
    points: tuple[Point, ...]
    description: str
    series: tuple[str, ...]


def _figure(
    title: str, axis: str, bars: Sequence[Bar], domain: tuple[float, float] | None = None
) -> Figure:
    series = tuple(dict.fromkeys(bar.series for bar in bars))
    several = len(series) > 1
    told = "; ".join(
        f"{bar.row}{f', {bar.series}' if several else ''}: {bar.label}" for bar in bars
    )
    return Figure(title, axis, tuple(bars), f"{title}. {told}.", series, domain)


def macs_figure(profile: Profile, reference: PublishedTables | None) -> Figure:
    """MACs of each group, beside the published ones where a center has any."""
    bars = []
    for group in profile.groups:
        row = formats.visible(group.name)
        bars.append(Bar(row, "this profile", group.macs / 1e9, formats.scaled(group.macs)))
        published = reference.classic_group(group.center) if reference else None
        if published and published.macs is not None:
            bars.append(Bar(row, "poster", published.macs / 1e9, formats.scaled(published.macs)))
    return _figure("MACs of each group", "MACs (billions)", bars)


def macs_fit_figure(benchmark: Benchmark) -> Figure:
    """Real and synthetic MACs of each group."""
    bars = []
    for stage in benchmark.stages:
        bars += _pair(stage, stage.target_macs, stage.multiplicity * stage.macs, 1e9)
    return _figure("MACs, real and synthetic", "MACs (billions)", bars)


def warps_fit_figure(benchmark: Benchmark) -> Figure:
    """Real and synthetic warps of each group."""
    bars = []
    for stage in benchmark.stages:
        bars += _pair(stage, stage.target_warps, stage.multiplicity * stage.warps, 1e3)
    kind = benchmark.synthesis.warps_kind
    return _figure(f"Warps ({kind}), real and synthetic", "warps (thousands)", bars)


def passes_figure(results: Sequence[RunResult]) -> Figure:
    """Median time of a pass on each platform; platforms of one name are numbered."""
    bars = [
        Bar(name, "one pass", run.total.median * 1e3, formats.seconds(run.total.median))
        for name, run in zip(
            _distinct([run.platform.name for run in results]), results, strict=True
        )
    ]
    return _figure("Median time of one pass", "milliseconds", bars)


def suite_errors_figure(platforms: Sequence[PlatformFidelity]) -> Figure:
    """What a mix's benchmark misses the time of the suite by, on each platform."""
    rows = [(item.platform.name, item.whole) for item in platforms if item.whole is not None]
    names = _distinct([name for name, _ in rows])
    bars = [
        Bar(name, "suite", 100 * row.error, formats.signed(row.error))
        for name, (_, row) in zip(names, rows, strict=True)
        if row is not None
    ]
    reach = 1.6 * max(1.0, *(abs(bar.value) for bar in bars))
    return _figure("Error of the suite's time", "fidelity error (%)", bars, (-reach, reach))


def curve_figure(points: Sequence[CurvePoint]) -> Curve:
    """Error against reduction."""
    series = ("largest of the platforms", "median of the platforms")
    told = "; ".join(
        f"{formats.times(each.reduction)}: {formats.share(each.largest)},"
        f" median {formats.share(each.typical)}"
        for each in points
    )
    title = "Error against reduction"
    return Curve(
        title,
        "reduction",
        "size of the fidelity error (%)",
        (
            *(Point(series[0], each.reduction, 100 * each.largest) for each in points),
            *(Point(series[1], each.reduction, 100 * each.typical) for each in points),
        ),
        f"{title}. {told}.",
        series,
    )


def error_figures(platforms: Sequence[PlatformFidelity]) -> list[Figure]:
    """Fidelity errors, one figure per platform, all on the same axis."""
    names = group_names(platforms)
    everything = [_error_bars(fidelity, names) for fidelity in platforms]
    reach = max((abs(bar.value) for bars in everything for bar in bars), default=0.0)
    # a little room beyond the longest bar, for its label
    domain = (-1.6 * max(reach, 1.0), 1.6 * max(reach, 1.0))
    titles = _distinct([fidelity.platform.name for fidelity in platforms])
    return [
        _figure(title, "fidelity error (%)", bars, domain)
        for title, bars in zip(titles, everything, strict=True)
    ]


def _error_bars(fidelity: PlatformFidelity, names: Sequence[str]) -> list[Bar]:
    errors = {row.name: row.error for row in fidelity.groups}
    bars = [
        Bar(formats.visible(name), "group", 100 * errors[name], formats.signed(errors[name]))
        for name in names
        if name in errors
    ]
    totals = (("all convolutions", fidelity.convolutions), ("whole models", fidelity.whole))
    for name, row in totals:
        if row is not None:
            bars.append(Bar(name, "total", 100 * row.error, formats.signed(row.error)))
    return bars


def _pair(stage: Stage, real: float, synthetic: float, scale: float) -> list[Bar]:
    row = formats.visible(f"{stage.name} ({stage.center})")
    return [
        Bar(row, "real", real / scale, formats.scaled(real)),
        Bar(row, "synthetic", synthetic / scale, formats.scaled(synthetic)),
    ]


def _distinct(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    distinct = []
    for name in map(formats.visible, names):
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct
