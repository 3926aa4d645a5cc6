"""Ratios between platforms: which one is faster, and by how much, real against predicted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from aimatrix.model.result import ApplicationTiming, PlatformFidelity, PlatformRatio


def ratios(platforms: Sequence[PlatformFidelity]) -> tuple[PlatformRatio, ...]:
    """Each pair of platforms, over the applications that both ran and that are predicted."""
    pairs = (_ratio(first, second) for first, second in combinations(platforms, 2))
    return tuple(pair for pair in pairs if pair is not None)


def rank_agreement(pairs: Sequence[PlatformRatio]) -> float | None:
    """Kendall's tau: 1 when all pairs are put in their real order, -1 when none is."""
    if not pairs:
        return None
    return sum(1 if pair.same_order else -1 for pair in pairs) / len(pairs)


def _ratio(first: PlatformFidelity, second: PlatformFidelity) -> PlatformRatio | None:
    ours, theirs = _predicted(first), _predicted(second)
    common = [name for name in ours if name in theirs]
    sums = [
        (
            sum(ran[name].weight * ran[name].timing.median for name in common),
            sum(ran[name].weight * (ran[name].predicted_seconds or 0.0) for name in common),
        )
        for ran in (ours, theirs)
    ]
    if not all(real and predicted for real, predicted in sums):
        return None
    real, predicted = (above / below for above, below in zip(*sums, strict=True))
    return PlatformRatio(
        first=first.platform.name,
        second=second.platform.name,
        applications=len(common),
        real=real,
        predicted=predicted,
        error=predicted / real - 1,
    )


def _predicted(fidelity: PlatformFidelity) -> dict[str, ApplicationTiming]:
    return {item.name: item for item in fidelity.applications if item.predicted_seconds is not None}
