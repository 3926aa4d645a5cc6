"""What every backend offers: a check of a platform, its environment, and prepared passes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aimatrix.errors import AimatrixError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform


class Pass(ABC):
    """Prepared work that can be run again and again on one platform.

    missing: the numbers of the parts that the platform cannot run; they take 0.0 seconds.
    """

    missing: frozenset[int] = frozenset()

    @abstractmethod
    def run(self) -> list[float]:
        """Run once and return the seconds of each part (stage, bucket, application), in order.

        The device has finished its work when a part's clock stops.
        """

    @abstractmethod
    def outputs(self) -> list[np.ndarray]:
        """Run once, untimed: the outputs as float32; empty where a backend computes nothing."""


class Backend(ABC):
    """Lays benchmarks out on one framework. Instances are stateless.

    Every ``prepare`` method calls `check` itself and runs its work once, so that what is
    compiled or allocated at first use is not timed, and so that an operator which the platform
    lacks shows here.
    """

    #: how users call it, as in ``--backend torch``
    name: str

    def own_process(self, threads: int | None) -> None:  # noqa: B027, most have nothing to do
        """Set up a process that will run this backend on ``threads`` threads and nothing else.

        For what would harm other code of a process; called before anything is prepared, or never.
        """

    @abstractmethod
    def check(self, platform: Platform) -> None:
        """Return if the platform can be measured.

        Raises MissingPackageError (with its install command) or UnsupportedError.
        """

    @abstractmethod
    def environment(self, platform: Platform) -> dict[str, str]:
        """What a reader of a result has to know: `host_environment` and the framework's own."""

    @abstractmethod
    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """The benchmark as `docs/benchmark.md` lays it out; seconds per stage."""

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """The stages of a mix (`docs/mix.md`); seconds per stage.

        Where a backend runs inference alone, the stages that train are `Pass.missing`. Raises
        UnsupportedError where it lays out convolutions alone, or where all stages are missing.
        """
        raise UnsupportedError(f"the backend {self.name} does not run mixes of all operators")

    @abstractmethod
    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """Loose 2-D convolutions, run in order, each on its own weights and its own input.

        ``buckets[i]`` says to which part the time of ``calls[i]`` is added; seconds per bucket,
        from 0 to the largest. Consecutive calls of one bucket are timed together. The platform's
        dtype holds, not the calls'.
        """

    @abstractmethod
    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """A user's callable on its inputs, one part.

        A ``torch.nn.Module`` is moved to the platform's device and dtype in place. Raises
        UnsupportedError when the platform cannot run it.
        """

    def tried(self, make: Callable[[], Pass]) -> Pass:
        """What ``make`` prepares, after its first run. Raises UnsupportedError if either fails."""
        try:
            prepared = make()
            prepared.run()
        except AimatrixError:
            raise
        except Exception as error:  # a framework's, a compiler's or a user's: no common root
            raise UnsupportedError(
                f"the backend {self.name} fails at it: {type(error).__name__}: {first_line(error)}"
            ) from error
        return prepared


def device_of(platform: Platform) -> tuple[str, int]:
    """``cuda:1`` as its type and number. Raises UnsupportedError for any other spelling."""
    device = re.fullmatch(r"(\w+)(?::([0-9]{1,3}))?", platform.device)
    if device is None:
        raise UnsupportedError(
            f"{platform.device!r} is not a device; write it as cpu, cuda or cuda:1"
        )
    return device[1], int(device[2] or 0)


def first_line(error: BaseException) -> str:
    """Where an error's message begins to say something; compilers' messages run over pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    until = next((i for i, line in enumerate(lines) if not line.endswith(":")), len(lines) - 1)
    return " ".join(lines[: until + 1]) or "no message"
