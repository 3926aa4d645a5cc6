"""The part of the report about mixes: how well they tell the times of whole applications.

The first validation of a whole suite is shown in full. The others are points of the curve of error
against reduction; those of single applications have a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from aimatrix.model.result import ApplicationTiming, FidelityRow, PlatformFidelity, Validation
from aimatrix.reporting import formats
from aimatrix.reporting.tables import Table, columns
from aimatrix.reporting.times import measured, noise_note, reduction, spread


@dataclass(frozen=True, slots=True)
class Mixes:
    """Validations of mixes: the one shown in full, all of its curve, and those of parts."""

    shown: Validation
    curve: tuple[Validation, ...]
    parts: tuple[Validation, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A benchmark of the suite: its reduction, the median over the platforms, and its errors.

    largest and typical: the largest and the median size of its error over the platforms.
    """

    reduction: float
    largest: float
    typical: float
    platforms: int


def networks(validations: Sequence[Validation]) -> list[Validation]:
    """The validations of benchmarks of convolutions, and those that compared nothing."""
    return [item for item in validations if not _is_of_a_mix(item)]


def mixes(validations: Sequence[Validation]) -> Mixes | None:
    """The validations of mixes, sorted; None when there is none."""
    ours = [item for item in validations if _is_of_a_mix(item)]
    if not ours:
        return None
    whole = [item for item in ours if not item.stands_for] or ours[:1]
    parts = [item for item in ours if item.stands_for and item is not whole[0]]
    return Mixes(whole[0], tuple(whole), tuple(parts))


def curve(found: Mixes) -> list[CurvePoint]:
    """Error against reduction, from the least reduction on."""
    points = [point for item in found.curve if (point := _point(item)) is not None]
    return sorted(points, key=lambda point: point.reduction)


def platforms_table(validation: Validation) -> Table:
    """Real and predicted time of the suite on each platform."""
    platforms = measured([validation])
    rows = [(item, item.whole) for item in platforms if item.whole is not None]
    return Table(
        caption="The suite on each platform",
        columns=columns(
            "Platform", "Applications", "Rounds", "Real", "Spread", "Predicted", "Spread", "Error",
            "Reduction",
        ),
        rows=tuple(_platform_row(item, row) for item, row in rows),
        note=noise_note(row.real for _, row in rows),
    )  # fmt: skip


def classes_table(validation: Validation) -> Table | None:
    """Error of each class on each platform; None when the suite has no classes."""
    return _errors(
        "Error of each class of applications",
        "Class",
        measured([validation]),
        lambda item: [(row.name, row.error) for row in item.classes],
    )


def applications_table(validation: Validation) -> Table | None:
    """Error of each application on each platform."""
    return _errors(
        "Error of each application",
        "Application",
        measured([validation]),
        lambda item: [(each.name, _error(each)) for each in item.applications],
    )


def application_times_table(fidelity: PlatformFidelity) -> Table:
    """Real and predicted times of the applications on one platform."""
    timings = [item.timing for item in fidelity.applications]
    return Table(
        caption="Applications of the suite",
        columns=columns("Application", "Weight", "Real", "Spread", "Predicted", "Spread", "Error"),
        rows=tuple(
            (
                item.name,
                f"{item.weight:g}",
                formats.seconds(item.timing.median),
                spread(item.timing),
                formats.seconds(item.predicted_seconds or 0.0),
                "" if item.predicted is None else spread(item.predicted),
                formats.signed(_error(item)),
            )
            for item in fidelity.applications
        ),
        note=noise_note(timings),
    )


def ratios_table(validation: Validation) -> Table | None:
    """Real and predicted ratio of each pair of platforms; None when there is no pair."""
    if not validation.ratios:
        return None
    agreement = validation.rank_agreement
    return Table(
        caption="Ratios between platforms",
        columns=columns(
            "Platform", "Against", "Applications", "Real", "Predicted", "Error", words=("Against",)
        ),
        rows=tuple(
            (
                pair.first,
                pair.second,
                formats.exact(pair.applications),
                f"{pair.real:.3f}",
                f"{pair.predicted:.3f}",
                formats.signed(pair.error),
            )
            for pair in validation.ratios
        ),
        note="" if agreement is None else f"Rank agreement (Kendall's tau): {agreement:.2f}.",
    )


def curve_table(points: Sequence[CurvePoint]) -> Table:
    """Error against reduction as figures."""
    return Table(
        caption="Error against reduction",
        columns=columns("Reduction", "Largest error", "Median error", "Platforms"),
        rows=tuple(
            (
                formats.times(point.reduction),
                formats.share(point.largest),
                formats.share(point.typical),
                formats.exact(point.platforms),
            )
            for point in points
        ),
    )


def parts_table(found: Mixes) -> Table | None:
    """Benchmarks of single applications: reduction, and error on each platform."""
    rows = []
    names = _platform_names(found.parts)
    for validation in found.parts:
        errors = {
            item.platform.name: item.whole.error
            for item in validation.platforms
            if item.whole is not None
        }
        factors = [factor for item in validation.platforms if (factor := reduction(item))]
        rows.append(
            (
                ", ".join(validation.stands_for),
                formats.times(median(factors)) if factors else "",
                *(formats.signed(errors[name]) if name in errors else "" for name in names),
            )
        )
    if not rows:
        return None
    return Table(
        caption="Benchmarks of single applications",
        columns=columns("Application", "Reduction", *names),
        rows=tuple(rows),
    )


def largest(errors: Iterable[tuple[str, float]]) -> tuple[str, float] | None:
    """The name and the error of the largest of some errors; None of none."""
    return max(errors, key=lambda named: abs(named[1]), default=None)


def _is_of_a_mix(validation: Validation) -> bool:
    return any(
        application.predicted_seconds is not None
        for platform in validation.platforms
        for application in platform.applications
    )


def _point(validation: Validation) -> CurvePoint | None:
    rows = [(item, item.whole) for item in validation.platforms if item.whole is not None]
    factors = [factor for item, _ in rows if (factor := reduction(item)) is not None]
    errors = [abs(row.error) for _, row in rows]
    if not factors:
        return None
    return CurvePoint(median(factors), max(errors), median(errors), len(rows))


def _platform_row(fidelity: PlatformFidelity, row: FidelityRow) -> tuple[str, ...]:
    factor = reduction(fidelity)
    return (
        fidelity.platform.name,
        formats.exact(len(fidelity.applications)),
        formats.exact(len(row.real.samples)),
        formats.seconds(row.real.median),
        spread(row.real),
        formats.seconds(row.predicted_seconds),
        "" if row.predicted is None else spread(row.predicted),
        formats.signed(row.error),
        "" if factor is None else formats.times(factor),
    )


def _errors(
    caption: str,
    what: str,
    platforms: Sequence[PlatformFidelity],
    told: Callable[[PlatformFidelity], list[tuple[str, float]]],
) -> Table | None:
    """A row for each name that ``told`` has an error of, a column for each platform."""
    columns_of = [dict(told(item)) for item in platforms]
    names = dict.fromkeys(name for column in columns_of for name in column)
    if not names:
        return None
    return Table(
        caption=caption,
        columns=columns(what, *(item.platform.name for item in platforms)),
        rows=tuple(
            (
                name,
                *(formats.signed(each[name]) if name in each else "" for each in columns_of),
            )
            for name in names
        ),
    )


def _platform_names(validations: Sequence[Validation]) -> list[str]:
    return list(
        dict.fromkeys(
            item.platform.name for item in measured(validations) if item.whole is not None
        )
    )


def _error(item: ApplicationTiming) -> float:
    return (item.predicted_seconds or 0.0) / item.timing.median - 1
