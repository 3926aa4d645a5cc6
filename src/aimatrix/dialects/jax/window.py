"""Windows that slide over an input, of convolutions and poolings: paddings as JAX gives them."""

from __future__ import annotations

from aimatrix.dialects.rule import Shape


def one_sided_first(
    sides: Shape, padding: tuple[tuple[int, int], ...]
) -> tuple[Shape, tuple[int, ...]]:
    """(sides of the input, padding on both of them) for paddings before and behind.

    Where more is padded on one side than on the other, the input is taken as padded first by
    what is more, as torch does for its ``same``; and as cut where a padding is negative.
    """
    both = tuple(max(min(pair), 0) for pair in padding)
    padded = tuple(
        side + sum(pair) - 2 * each for side, pair, each in zip(sides, padding, both, strict=True)
    )
    return padded, both
