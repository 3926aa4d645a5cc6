"""The tables of the report about measured times, as plain rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aimatrix.model.result import (
    FidelityRow,
    LeftOut,
    PlatformFidelity,
    RunResult,
    Timing,
    Validation,
)
from aimatrix.reporting import formats
from aimatrix.reporting.tables import Table, columns

#: a spread above this says that the machine was not quiet
NOISY = 0.1


def measured(validations: Sequence[Validation]) -> list[PlatformFidelity]:
    """The platforms of all validations that could run, in order."""
    return [
        fidelity
        for validation in validations
        for fidelity in validation.platforms
        if fidelity.compared
    ]


def left_out(validations: Sequence[Validation]) -> list[tuple[str, LeftOut]]:
    """Everything that was left out, each with its platform's name."""
    return [
        (fidelity.platform.name, item)
        for validation in validations
        for fidelity in validation.platforms
        for item in fidelity.left_out
    ]


def reduction(fidelity: PlatformFidelity) -> float | None:
    """Time of the suite / time of the benchmark's pass, same repetitions; None if not measured."""
    whole = fidelity.whole
    if whole is None or not whole.synthetic.median:
        return None
    return whole.real.median / whole.synthetic.median


def runs_table(results: Sequence[RunResult]) -> Table:
    """One row per run: the pass, its spread, and the predicted time of the mix."""
    return Table(
        caption="The benchmark on each platform",
        columns=columns(
            "Platform", "Passes", "Median", "p10 to p90", "Spread", "Predicted time of the mix"
        ),
        rows=tuple(
            (
                result.platform.name,
                formats.exact(len(result.total.samples)),
                formats.seconds(result.total.median),
                _range(result.total),
                spread(result.total) + ("" if result.steady else ", not settled"),
                formats.seconds(result.predicted_seconds),
            )
            for result in results
        ),
        note=noise_note(result.total for result in results),
    )


def stages_table(results: Sequence[RunResult]) -> Table:
    """Median time of each stage inside the pass: a row per stage, a column per run."""
    names = list(dict.fromkeys(stage.name for result in results for stage in result.stages))
    times = [{stage.name: stage.timing for stage in result.stages} for result in results]
    return Table(
        caption="Median time of each stage, taken inside the pass",
        columns=columns("Stage", *(result.platform.name for result in results)),
        rows=tuple(
            (
                name,
                *(formats.seconds(run[name].median) if name in run else "" for run in times),
            )
            for name in names
        ),
    )


def errors_table(platforms: Sequence[PlatformFidelity]) -> Table:
    """Fidelity error of every group and in total: a row per platform."""
    names = group_names(platforms)
    rows = []
    for fidelity in platforms:
        errors = {row.name: row.error for row in fidelity.groups}
        rows.append(
            (
                fidelity.platform.name,
                *(formats.signed(errors[name]) if name in errors else "" for name in names),
                _error(fidelity.convolutions),
                _error(fidelity.whole),
                _factor(reduction(fidelity)),
            )
        )
    return Table(
        caption="Fidelity error per platform",
        columns=columns("Platform", *names, "All convolutions", "Whole models", "Reduction"),
        rows=tuple(rows),
    )


def group_names(platforms: Sequence[PlatformFidelity]) -> list[str]:
    """The names of all groups, in the order in which they first occur."""
    return list(dict.fromkeys(row.name for fidelity in platforms for row in fidelity.groups))


def fidelity_table(fidelity: PlatformFidelity) -> Table:
    """One platform: real, synthetic and predicted time and the error, per group and in total."""
    totals = (("all convolutions", fidelity.convolutions), ("whole models", fidelity.whole))
    rows = [_fidelity_row(row.name, row) for row in fidelity.groups]
    rows += [_fidelity_row(name, row) for name, row in totals if row is not None]
    timings = [
        timing
        for row in (*fidelity.groups, fidelity.convolutions, fidelity.whole)
        if row is not None
        for timing in (row.real, row.synthetic)
    ]
    return Table(
        caption="Real against predicted time",
        columns=columns(
            "Work", "Real", "Spread", "Synthetic", "Spread", "Multiplicity", "Predicted", "Error"
        ),
        rows=tuple(rows),
        note=noise_note(timings),
    )


def applications_table(fidelity: PlatformFidelity) -> Table | None:
    """The applications of the suite on one platform; None when none is named."""
    if not fidelity.applications:
        return None
    return Table(
        caption="Applications of the suite",
        columns=columns("Application", "Weight", "Median", "p10 to p90", "Spread"),
        rows=tuple(
            (
                application.name,
                f"{application.weight:g}",
                formats.seconds(application.timing.median),
                _range(application.timing),
                spread(application.timing),
            )
            for application in fidelity.applications
        ),
    )


def left_out_table(items: Sequence[tuple[str, LeftOut]]) -> Table:
    """What could not be measured, and why."""
    words = ("What", "Why")
    return Table(
        caption="Left out",
        columns=columns("Platform", *words, words=words),
        rows=tuple((platform, item.name, item.reason) for platform, item in items),
    )


def environments_table(
    environments: Iterable[tuple[str, Mapping[str, str]]],
) -> Table | None:
    """Where the times were taken: a row per distinct environment; None when none is stated."""
    platforms: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for platform, environment in environments:
        names = platforms.setdefault(tuple(sorted(environment.items())), [])
        if platform not in names:
            names.append(platform)
    platforms.pop((), None)
    if not platforms:
        return None
    return Table(
        caption="Environment",
        columns=columns("Platforms", "Environment", words=("Environment",)),
        rows=tuple(
            ("; ".join(names), ", ".join(f"{key}: {value}" for key, value in environment))
            for environment, names in platforms.items()
        ),
    )


def spread(timing: Timing) -> str:
    """A spread in percent, with a star where it is large."""
    return formats.share(timing.spread) + ("*" if timing.spread > NOISY else "")


def noise_note(timings: Iterable[Timing]) -> str:
    """What the star says, where one of these has it."""
    if any(timing.spread > NOISY for timing in timings):
        return "* The spread, (p90 - p10) / median, is above 10 %: the machine was not quiet."
    return ""


def _fidelity_row(name: str, row: FidelityRow) -> tuple[str, ...]:
    return (
        name,
        formats.seconds(row.real.median),
        spread(row.real),
        formats.seconds(row.synthetic.median),
        spread(row.synthetic),
        "" if row.multiplicity is None else f"{row.multiplicity:g}",
        formats.seconds(row.predicted_seconds),
        formats.signed(row.error),
    )


def _range(timing: Timing) -> str:
    return f"{formats.seconds(timing.p10)} to {formats.seconds(timing.p90)}"


def _error(row: FidelityRow | None) -> str:
    return "" if row is None else formats.signed(row.error)


def _factor(value: float | None) -> str:
    return "" if value is None else formats.times(value)
