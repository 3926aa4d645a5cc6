"""What every importer gives: the operator calls of a file, and what the user should be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from aimatrix.dialects.raw import RawCall


@dataclass(frozen=True, slots=True)
class TracedCall:
    """Equal calls of a file that launched equally many warps.

    warps: of one call, measured; None where they were not, or not all. outermost: not called by
    another operator; of what others call, a reader gives only what launched kernels.
    """

    raw: RawCall
    calls: int
    warps: int | None = None
    outermost: bool = True


@dataclass(frozen=True, slots=True)
class RunCalls:
    """The distinct calls of a run of a model, and how often it makes each, in their order.

    pairs: (producer, consumer, how often), the first two as places in ``calls``.
    """

    calls: list[tuple[RawCall, int]]
    pairs: list[tuple[int, int, int]]


@dataclass(slots=True)
class Imported:
    """The outermost calls of a file.

    warnings: sentences for the user. odd: entries that were passed over, since they lack what
    their kind has. pairs: producer, consumer, and how often one took the other's output; empty
    where a format does not tell.
    """

    calls: list[TracedCall]
    warnings: list[str] = field(default_factory=list)
    odd: int = 0
    pairs: list[tuple[RawCall, RawCall, int]] = field(default_factory=list)
