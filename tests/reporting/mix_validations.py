"""Validations of mixes as the fidelity run hands them to the report, with strings by the caller."""

from __future__ import annotations

from collections.abc import Callable

from report_artefacts import plain, timing

from aimatrix.model.result import (
    ApplicationTiming,
    FidelityRow,
    LeftOut,
    Platform,
    PlatformFidelity,
    Validation,
)
from aimatrix.validation.ratios import rank_agreement, ratios

#: real seconds of the applications, by their class
REAL = {"cnn": ("resnet", 0.2), "transformer": ("bert", 0.3)}


def make_row(name: str, real: float, error: float, reduction: float = 20.0) -> FidelityRow:
    return FidelityRow(
        name=name,
        real=timing(real),
        synthetic=timing(real / reduction),
        predicted=timing(real * (1 + error), spread=0.05),
        predicted_seconds=real * (1 + error),
        error=error,
    )


def make_platform(
    threads: int, error: float, reduction: float, named: Callable[[str], str]
) -> PlatformFidelity:
    """Twice as fast on two threads; every application is missed by ``error``."""
    applications = tuple(
        ApplicationTiming(
            name=named(name),
            weight=1,
            timing=timing(real / threads),
            predicted=timing(real / threads * (1 + error)),
            predicted_seconds=real / threads * (1 + error),
        )
        for name, real in REAL.values()
    )
    return PlatformFidelity(
        platform=Platform(backend=named("torch"), threads=threads),
        environment={named("cpu"): named("Some CPU, 2 cores")},
        groups=(),
        convolutions=None,
        whole=make_row("whole suite", 0.5 / threads, error, reduction),
        classes=tuple(
            make_row(named(kind), real / threads, error) for kind, (_, real) in REAL.items()
        ),
        applications=applications,
        left_out=(LeftOut(name=named("trainer"), reason=named("no gradients here")),),
    )


def make_mix_validation(
    errors: tuple[float, ...] = (0.02, -0.03),
    reduction: float = 20.0,
    stands_for: tuple[str, ...] = (),
    named: Callable[[str], str] = plain,
) -> Validation:
    """A validation on as many platforms as there are errors."""
    platforms = tuple(
        make_platform(threads, error, reduction, named)
        for threads, error in enumerate(errors, start=1)
    )
    pairs = ratios(platforms)
    return Validation.create(
        benchmark_digest="0" * 64,
        platforms=platforms,
        stands_for=stands_for,
        ratios=pairs,
        rank_agreement=rank_agreement(pairs),
    )


def make_mix_validations(named: Callable[[str], str] = plain) -> tuple[Validation, ...]:
    """The one of the suite, two more of its curve, and one of a single application."""
    return (
        make_mix_validation(named=named),
        make_mix_validation((0.10, -0.20), 80.0, named=named),
        make_mix_validation((0.01, 0.01), 5.0, named=named),
        make_mix_validation((0.04,), 6.0, (named("bert"),), named=named),
    )
