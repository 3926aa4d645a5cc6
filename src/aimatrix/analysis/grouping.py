"""Groups sizes: finds the centres in the data and says which centre a size belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Sizes within one octave of the largest one share a centre: networks halve their inputs.
OCTAVE = 2.0


def nearest_center(size: float, centers: Sequence[int]) -> int:
    """The centre nearest to ``size`` in logarithm; of two equally near ones, the larger.

    Ratios are compared instead of logarithms: a tie is a tie, on every machine.
    """
    return min(centers, key=lambda center: (max(size / center, center / size), -center))


def find_centers(weights: Mapping[float, float]) -> list[int]:
    """The centres of a weighted set of sizes, largest first.

    ``weights`` maps each size to its weight (its MACs). From the largest size down, everything
    within one octave forms a cluster (the fewest clusters that are so narrow); its centre is the
    size with the most weight in it, so that a centre is always a size that really occurs.
    """
    centers = []
    remaining = sorted(weights, reverse=True)
    while remaining:
        largest = remaining[0]
        cluster = [size for size in remaining if size * OCTAVE > largest]
        heaviest = max(cluster, key=lambda size: (weights[size], size))
        centers.append(max(1, round(heaviest)))
        remaining = remaining[len(cluster) :]
    return centers
