"""Ratios between platforms: over what both ran, and in which order they are put."""

from __future__ import annotations

import pytest

from aimatrix.model.result import ApplicationTiming, Platform, PlatformFidelity, Timing
from aimatrix.validation.ratios import rank_agreement, ratios


def platform(threads: int, **times: tuple[float, float]) -> PlatformFidelity:
    """Applications with their real and predicted seconds; ``heavy`` weighs three times as much."""
    return PlatformFidelity(
        platform=Platform(backend="null", threads=threads),
        environment={},
        groups=(),
        convolutions=None,
        whole=None,
        applications=tuple(
            ApplicationTiming(
                name=name,
                weight=3.0 if name == "heavy" else 1.0,
                timing=Timing(samples=(real,)),
                predicted_seconds=predicted,
            )
            for name, (real, predicted) in times.items()
        ),
    )


def test_a_ratio_is_of_what_both_ran() -> None:
    [pair] = ratios(
        [
            platform(1, heavy=(4.0, 5.0), light=(8.0, 5.0), training=(100.0, 1.0)),
            platform(2, heavy=(2.0, 2.0), light=(4.0, 4.0)),
        ]
    )
    assert (pair.first, pair.second) == ("null, float32, 1 thread", "null, float32, 2 threads")
    assert pair.applications == 2
    assert pair.real == pytest.approx(20 / 10)
    assert pair.predicted == pytest.approx(20 / 10)
    assert pair.error == pytest.approx(0.0)
    assert pair.same_order


def test_every_pair_counts_for_the_rank() -> None:
    slow, fast, told_slow = (
        platform(1, light=(4.0, 4.4)),
        platform(2, light=(2.0, 2.0)),
        platform(3, light=(1.0, 3.0)),
    )
    pairs = ratios([slow, fast, told_slow])
    assert [round(pair.error, 3) for pair in pairs] == [0.1, -0.633, -0.667]
    assert [pair.same_order for pair in pairs] == [True, True, False]
    assert rank_agreement(pairs) == pytest.approx(1 / 3)


def test_platforms_without_common_applications_have_no_ratio() -> None:
    pairs = ratios([platform(1, light=(4.0, 4.4)), platform(2, heavy=(2.0, 2.0)), platform(3)])
    assert pairs == ()
    assert rank_agreement(pairs) is None
