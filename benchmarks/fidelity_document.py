"""What `make fidelity` found: as one JSON document, and printed as tables.

Errors are predicted / real - 1, signed, in shares of one. A spread is (p90 - p10) / median over the
rounds; the one of a platform is the larger of those of the real and of the predicted time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from aimatrix.cli.options import print_table
from aimatrix.model.result import (
    ApplicationTiming,
    FidelityRow,
    PlatformFidelity,
    Timing,
    Validation,
)
from aimatrix.reporting.times import reduction
from aimatrix.validation import StandIn

Row = dict[str, Any]

#: what a benchmark of a suite is to reach besides the errors
REDUCTION = 20.0
SYNTHESIS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """A benchmark of a suite, or of one application, and what it took to make it.

    asked: the reduction, by imagined machines.
    """

    stand_in: StandIn
    folder: Path
    asked: float
    seconds: float
    megabytes: float


@dataclass(slots=True)
class Measured:
    """A suite's benchmarks with their validations, and the platforms that have none, and why."""

    made: list[Made]
    validations: list[Validation] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def suite_part(measured: Measured) -> Row:
    """Everything about one suite; the first benchmark is the one shown in full."""
    main = measured.validations[0]
    pairs = list(zip(measured.made, measured.validations, strict=True))
    return {
        "reduction": _typical_reduction(main),
        "platforms": [_platform(item, item.whole) for item in main.platforms if item.whole],
        "ratios": [pair.model_dump() for pair in main.ratios],
        "rank_agreement": main.rank_agreement,
        "curve": sorted(
            (
                _curve_point(made, item)
                for made, item in pairs
                if not item.stands_for and _rows(item)
            ),
            key=lambda point: point["reduction"],
        ),
        "proxies": [_proxy(item) for _, item in pairs if item.stands_for and _rows(item)],
        "synthesis": [_synthesis(made) for made in measured.made],
        "unsupported": _named(measured.unsupported),
        "failed": _named(measured.failed),
    }


def poster_part(validation: Validation | None) -> list[Row]:
    """How far the poster's form misses the mix and its convolutions, on each platform.

    Its errors are for as many MACs as the suite's convolutions have: a program may have run some of
    them more often than the suite does, while it set itself up.
    """
    if validation is None:
        return []
    return [
        {
            "name": item.platform.name,
            "whole_error": _for_as_many_macs(item, item.whole),
            "convolutions_error": _for_as_many_macs(item, item.convolutions),
            "suite_share": item.suite_share,
            "repetitions": len(item.whole.real.samples) if item.whole else None,
            "left_out": [left.model_dump() for left in item.left_out],
        }
        for item in validation.platforms
    ]


def _for_as_many_macs(fidelity: PlatformFidelity, row: FidelityRow | None) -> float | None:
    if row is None or fidelity.suite_share is None:
        return None
    return (1 + row.error) * fidelity.suite_share - 1


def _platform(fidelity: PlatformFidelity, row: FidelityRow) -> Row:
    return {
        "name": fidelity.platform.name,
        "error": row.error,
        "classes": {each.name: each.error for each in fidelity.classes},
        "spread": _spread(row.real, row.predicted),
        "repetitions": len(row.real.samples),
        "reduction": reduction(fidelity),
        "real_seconds": row.real.median,
        "predicted_seconds": row.predicted_seconds,
        "applications": [_application(item) for item in fidelity.applications],
        "left_out": [left.model_dump() for left in fidelity.left_out],
        "environment": fidelity.environment,
    }


def _application(item: ApplicationTiming) -> Row:
    predicted = item.predicted_seconds or 0.0
    return {
        "name": item.name,
        "error": predicted / item.timing.median - 1,
        "spread": _spread(item.timing, item.predicted),
        "real_seconds": item.timing.median,
        "predicted_seconds": predicted,
    }


def _curve_point(made: Made, validation: Validation) -> Row:
    errors = [abs(row.error) for _, row in _rows(validation)]
    return {
        "reduction": _typical_reduction(validation),
        "error": max(errors),
        "median_error": median(errors),
        "asked": made.asked,
        "estimated_error": made.stand_in.benchmark.synthesis.estimated_error,
        "platforms": _brief(validation),
    }


def _proxy(validation: Validation) -> Row:
    return {
        "application": ", ".join(validation.stands_for),
        "reduction": _typical_reduction(validation),
        "error": max(abs(row.error) for _, row in _rows(validation)),
        "platforms": _brief(validation),
    }


def _brief(validation: Validation) -> list[Row]:
    return [
        {
            "name": item.platform.name,
            "error": row.error,
            "reduction": reduction(item),
            "spread": _spread(row.real, row.predicted),
            "repetitions": len(row.real.samples),
        }
        for item, row in _rows(validation)
    ]


def _synthesis(made: Made) -> Row:
    benchmark = made.stand_in.benchmark
    return {
        "applications": ", ".join(made.stand_in.applications) or "all",
        "asked": made.asked,
        "estimated_reduction": benchmark.synthesis.estimated_reduction,
        "estimated_error": benchmark.synthesis.estimated_error,
        "stages": len(benchmark.stages),
        "seconds": made.seconds,
        "megabytes": made.megabytes,
    }


def _rows(validation: Validation) -> list[tuple[PlatformFidelity, FidelityRow]]:
    return [(item, item.whole) for item in validation.platforms if item.whole is not None]


def _typical_reduction(validation: Validation) -> float | None:
    """By wall time, the median over the platforms; None where nothing was measured."""
    factors = [factor for item, _ in _rows(validation) if (factor := reduction(item)) is not None]
    return median(factors) if factors else None


def _spread(real: Timing, predicted: Timing | None) -> float:
    return max(real.spread, predicted.spread if predicted is not None else 0.0)


def _named(reasons: dict[str, str]) -> list[Row]:
    return [{"name": name, "reason": reason} for name, reason in reasons.items()]


def show(document: Row) -> None:
    """Print all tables."""
    _show_suite("the suite", document)
    _show_hot_loop(document["hot_loop"])
    _show_poster(document["poster"])
    _show_suite("what a replay of traces cannot run", document["replay"])
    _show_aims(document)
    bits = "the same bits" if document["same_bits"] else "OTHER bits"
    print(f"\nmade again with another order of sets, the benchmark has {bits}")


def readme_table(document: Row) -> str:
    """The errors of the main benchmark on each platform, in percent, as README.md has them."""
    classes = list(dict.fromkeys(name for row in document["platforms"] for name in row["classes"]))
    head = ["platform", *classes, "the suite", "reduction"]
    lines = [head, ["---"] * len(head)]
    for row in document["platforms"]:
        errors = [row["classes"].get(name) for name in classes]
        told = ["-" if error is None else f"{100 * error:+.1f}" for error in errors]
        suite, times = f"**{100 * row['error']:+.1f}**", f"{row['reduction']:.1f}"
        lines.append([row["name"], *told, suite, times])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print()
    print_table(title, columns, rows)


def _show_suite(title: str, part: Row) -> None:
    _show_platforms(title, part["platforms"])
    _by_platform("error of each class", part["platforms"], lambda item: item["classes"])
    _by_platform(
        "error of each application",
        part["platforms"],
        lambda item: {each["name"]: each["error"] for each in item["applications"]},
    )
    _show_ratios(part)
    _show_curve(part["curve"])
    _show_proxies(part["proxies"])
    _show_synthesis(part["synthesis"])
    for platform in part["platforms"]:
        for left in platform["left_out"]:
            print(f"left out on {platform['name']}: {left['name']}: {left['reason']}")
    for word in ("unsupported", "failed"):
        for item in part[word]:
            print(f"{word}: {item['name']}: {item['reason']}")


def _show_platforms(title: str, platforms: Sequence[Row]) -> None:
    rows = [
        [
            item["name"],
            f"{len(item['applications'])}",
            f"{item['repetitions']}",
            f"{1000 * item['real_seconds']:,.1f}",
            f"{1000 * item['predicted_seconds']:,.1f}",
            f"{item['error']:+.1%}",
            f"{item['spread']:.1%}",
            f"{item['reduction']:.1f}",
        ]
        for item in platforms
    ]
    columns = ["platform", "applications", "rounds", "real ms", "predicted ms", "error", "spread"]
    _print(f"{title}", [*columns, "reduction"], rows)


def _by_platform(title: str, platforms: Sequence[Row], told: Any) -> None:
    """A row for each name, a column for each platform."""
    errors = [told(item) for item in platforms]
    names = dict.fromkeys(name for each in errors for name in each)
    rows = [[name, *(_signed(each.get(name)) for each in errors)] for name in names]
    _print(f"{title}", ["", *(item["name"] for item in platforms)], rows)


def _show_ratios(part: Row) -> None:
    if not part["ratios"]:
        return
    rows = [
        [
            f"{pair['first']} / {pair['second']}",
            f"{pair['real']:.3f}",
            f"{pair['predicted']:.3f}",
            f"{pair['error']:+.1%}",
        ]
        for pair in part["ratios"]
    ]
    _print("ratios between platforms", ["", "real", "predicted", "error"], rows)
    worst = max(abs(pair["error"]) for pair in part["ratios"])
    print(f"largest error {worst:.1%}; rank agreement (Kendall's tau) {part['rank_agreement']:.2f}")


def _show_curve(curve: Sequence[Row]) -> None:
    rows = [
        [
            f"{point['reduction']:.1f}",
            f"{point['error']:.1%}",
            f"{point['median_error']:.1%}",
            f"{len(point['platforms'])}",
            f"{point['asked']:g}",
        ]
        for point in curve
    ]
    columns = ["reduction", "largest error", "median error", "platforms", "asked for"]
    _print("error against reduction", columns, rows)


def _show_proxies(proxies: Sequence[Row]) -> None:
    names = dict.fromkeys(each["name"] for proxy in proxies for each in proxy["platforms"])
    rows = []
    for proxy in proxies:
        errors = {each["name"]: each["error"] for each in proxy["platforms"]}
        errors_shown = [_signed(errors.get(name)) for name in names]
        rows.append([proxy["application"], f"{proxy['reduction']:.1f}", *errors_shown])
    _print("benchmarks of single applications", ["", "reduction", *names], rows)


def _show_synthesis(made: Sequence[Row]) -> None:
    rows = [
        [
            item["applications"],
            f"{item['asked']:.3g}",
            f"{item['stages']}",
            f"{item['seconds']:.1f}",
            f"{item['megabytes']:.0f}",
        ]
        for item in made
    ]
    columns = ["of", "reduction asked", "stages", "seconds", "megabytes"]
    _print("making the benchmarks", columns, rows)


def _show_hot_loop(platforms: Sequence[Row]) -> None:
    for item in platforms:
        if "failed" in item:
            print(f"operators alone on {item['name']}: failed: {item['failed']}")
            continue
        rows = [
            [
                each["name"],
                f"{1000 * each['real_seconds']:,.1f}",
                f"{1000 * each['hot_seconds']:,.1f}",
                _signed(each["error"]),
                f"{each['not_run']}",
            ]
            for each in [*item["applications"], {**item, "name": "all"}]
        ]
        columns = ["", "real ms", "sum ms", "error", "operators not run"]
        _print(f"operators alone in a hot loop, {item['name']}", columns, rows)


def _show_poster(platforms: Sequence[Row]) -> None:
    rows = [
        [item["name"], _signed(item["whole_error"]), _signed(item["convolutions_error"])]
        for item in platforms
    ]
    _print("the poster's form", ["", "whole mix", "convolutions"], rows)


def _show_aims(document: Row) -> None:
    """What was found against what a benchmark is to reach."""
    platforms = document["platforms"]
    found = {
        "suite, each platform": ([abs(item["error"]) for item in platforms], 0.05),
        "class, each platform": (
            [abs(error) for item in platforms for error in item["classes"].values()],
            0.10,
        ),
        "ratio of platforms": ([abs(pair["error"]) for pair in document["ratios"]], 0.05),
        "single application": ([proxy["error"] for proxy in document["proxies"]], 0.10),
    }
    rows = [
        [name, f"{max(errors):.1%}", f"{aim:.0%}", "yes" if max(errors) <= aim else "NO"]
        for name, (errors, aim) in found.items()
        if errors
    ]
    _print("largest errors against their aims", ["", "found", "aim", "reached"], rows)
    reached = min((item["reduction"] for item in platforms), default=0.0)
    slowest = max(item["seconds"] for item in document["synthesis"])
    print(
        f"least reduction by wall time {reached:.1f} (aim: {REDUCTION:g}); longest synthesis"
        f" {slowest:.1f} s (aim: {SYNTHESIS_SECONDS:g} s)"
    )


def _signed(error: float | None) -> str:
    return "" if error is None else f"{error:+.1%}"
