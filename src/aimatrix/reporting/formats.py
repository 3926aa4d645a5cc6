"""Numbers as people read them: exact counts, scaled counts, times, shares, errors."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from aimatrix.model.artefact import Sides, expand

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
#: characters that turn the reading direction, or are invisible: they could disguise a name
_DISGUISES = frozenset("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """``text`` with every control, unpaired and disguising character made a visible mark."""
    return "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") or char in _DISGUISES else char
        for char in text
    )


def exact(count: float) -> str:
    """A count to the last digit: ``2,156,022,912``."""
    return f"{round(count):,}"


def scaled(count: float, unit: str = "") -> str:
    """Three significant digits and a decimal prefix: ``2.16 G``, ``17.2 GB``."""
    for scale, prefix in _SCALES:
        if count >= scale * 0.9995:
            return f"{_three_digits(count / scale)} {prefix}{unit}"
    return f"{count:.3g} {unit}".strip()


def seconds(value: float) -> str:
    """A time with the unit that suits it: ``12.3 ms``."""
    if value >= 0.9995:
        return f"{_three_digits(value)} s"
    if value >= 0.9995e-3:
        return f"{_three_digits(value * 1e3)} ms"
    return f"{_three_digits(value * 1e6)} µs"


def share(value: float) -> str:
    """A share of one in percent: ``97.3 %``; never rounded up to all or down to nothing."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def fitness(value: float) -> str:
    """A fitness error in percent with four decimals, or how small it is."""
    percent = 100 * value
    if 0 < percent < 0.00005:
        return "< 0.0001 %"
    return f"{percent:.4f} %"


def signed(value: float) -> str:
    """A signed error in percent: ``+4.2 %``."""
    return f"{100 * value:+.1f} %".replace("-", "\N{MINUS SIGN}")


def difference(ours: float, published: float) -> str:
    """How far ``ours`` is from ``published``: ``equal``, or in percent."""
    if ours == published:
        return "equal"
    return f"{100 * (ours / published - 1):+.2f} %".replace("-", "\N{MINUS SIGN}")


def times(value: float) -> str:
    """A factor: ``6.1x``, with a times sign; one decimal, three digits from 10 on."""
    digits = f"{value:.1f}" if value < 9.95 else _three_digits(value)
    return f"{digits}\N{MULTIPLICATION SIGN}"


def area(sides: Sequence[int]) -> str:
    """Sides with times signs between them: ``224x224``."""
    return "\N{MULTIPLICATION SIGN}".join(map(str, sides))


def kernel(kernel_size: Sides, stride: Sides = 1, depthwise: bool = False) -> str:
    """A filter: ``3x3``, ``7x7 / 2``, ``3x3 depthwise``, with times signs."""
    size = area(expand(kernel_size))
    steps = expand(stride)
    shown = area(steps if len(set(steps)) > 1 else steps[:1])
    step = "" if shown == "1" else f" / {shown}"
    return f"{size}{step}{' depthwise' if depthwise else ''}"


def plural(count: int, noun: str) -> str:
    """``1 group``, ``6 groups``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listing(items: Sequence[str], limit: int = 6, separator: str = ", ") -> str:
    """The first ``limit`` items, and how many more there are."""
    shown = separator.join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
