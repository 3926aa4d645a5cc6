"""What one run of a program called: its operator calls, and who consumes whose output."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aimatrix.model.calls import OpCall


@dataclass(frozen=True, slots=True)
class Recording:
    """The calls in their order, and the pairs of a producer and a consumer.

    A pair counts once for each call of the consumer that takes at least one tensor which a call of
    the producer wrote last. Views make no pairs: what takes a view takes what it shows. Weights and
    inputs have no producer.
    """

    calls: list[OpCall]
    pairs: Counter[tuple[OpCall, OpCall]] = field(default_factory=Counter)
