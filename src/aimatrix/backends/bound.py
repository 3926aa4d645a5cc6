"""Passes of parts that are bound to their tensors once and then only run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from aimatrix.backends.backend import Pass


class Bound(ABC):
    """A compiled model with the tensors that it reads and writes.

    share: of the time of a run, what is told of it.
    """

    share = 1.0

    @abstractmethod
    def run(self) -> None:
        """Run once; wait for the device."""

    @abstractmethod
    def outputs(self) -> list[np.ndarray]:
        """What the last run put out."""


class BoundPass(Pass):
    """Parts one after another, each with the number under which its seconds are added up.

    count: how many numbers there are; those that no part has take no time.
    """

    def __init__(self, parts: Sequence[tuple[int, Bound]], count: int) -> None:
        self._parts, self._count = parts, count

    def run(self) -> list[float]:
        """As `Pass.run`."""
        seconds = [0.0] * self._count
        before = perf_counter()
        for number, part in self._parts:
            part.run()
            after = perf_counter()
            seconds[number] += part.share * (after - before)
            before = after
        return seconds

    def outputs(self) -> list[np.ndarray]:
        """As `Pass.outputs`, those of all parts."""
        self.run()
        return [output for _, part in self._parts for output in part.outputs()]


class BoundMix(BoundPass):
    """The stages of a mix. A stage without a part is missing."""

    def __init__(self, parts: Sequence[tuple[int, Bound]], count: int) -> None:
        super().__init__(parts, count)
        self.missing = frozenset(range(count)) - {number for number, _ in parts}

    def outputs(self) -> list[np.ndarray]:
        """Of the last stage alone: what an application computes it soon lets go of."""
        self.run()
        return self._parts[-1][1].outputs()


class Chain(Pass):
    """The stages of a benchmark of convolutions, each a model that takes what the last one gave.

    models: of each, what makes of values its means and, but for the last one, what it hands on;
    it waits for the device. array: a value on the host.
    """

    def __init__(
        self,
        models: Sequence[Callable[[Sequence[Any]], list[Any]]],
        x: Any,
        array: Callable[[Any], np.ndarray],
    ) -> None:
        self._models, self._x, self._array = models, x, array

    def run(self) -> list[float]:
        """As `Pass.run`."""
        return self._run()[0]

    def outputs(self) -> list[np.ndarray]:
        """As `Pass.outputs`."""
        means = [self._array(each) for each in self._run()[1]]
        return [np.concatenate(means, axis=1)]

    def _run(self) -> tuple[list[float], list[Any]]:
        x, seconds, means = self._x, [], []
        before = perf_counter()
        for model in self._models:
            stage_means, *following = model([x])
            after = perf_counter()
            seconds.append(after - before)
            before = after
            means.append(stage_means)
            x = following[0] if following else None
        return seconds, means
