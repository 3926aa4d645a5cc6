"""What measurements hand on: raw samples with their platform and environment."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Any, ClassVar

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    computed_field,
    model_validator,
)

from aimatrix.model.artefact import Artefact, Part


class Platform(Part):
    """Hardware x backend x dtype x threads. threads: None leaves the framework's own choice."""

    backend: str
    device: str = "cpu"
    dtype: str = "float32"
    threads: PositiveInt | None = None

    @property
    def name(self) -> str:
        """A short name: ``torch, float32, 2 threads``."""
        parts = [self.backend, self.dtype]
        if self.device != "cpu":
            parts.append(self.device)
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        return ", ".join(parts)


_STATISTICS = frozenset({"median", "p10", "p90", "spread"})


class Timing(Part):
    """Repeated times of one thing, in seconds; all statistics are computed from the samples."""

    samples: tuple[NonNegativeFloat, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _drop_statistics(cls, data: Any) -> Any:
        """Files show the statistics beside the samples; the samples alone are read back."""
        if not isinstance(data, dict):
            return data
        kept = {key: value for key, value in data.items() if key not in _STATISTICS}
        if isinstance(kept.get("samples"), list):
            kept["samples"] = tuple(kept["samples"])  # as JSON's lists become where nobody looks
        return kept

    @computed_field  # type: ignore[prop-decorator]
    @property
    def median(self) -> float:
        """The median, in seconds."""
        return median(self.samples)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p10(self) -> float:
        """The tenth percentile, in seconds."""
        return self._decile(0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p90(self) -> float:
        """The ninetieth percentile, in seconds."""
        return self._decile(8)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spread(self) -> float:
        """(p90 - p10) / median; above about 0.1 the machine was not quiet."""
        return (self.p90 - self.p10) / self.median if self.median else 0.0

    def _decile(self, index: int) -> float:
        if len(self.samples) == 1:
            return self.samples[0]
        return quantiles(self.samples, n=10, method="inclusive")[index]


class StageTiming(Part):
    """The time of one stage, taken inside the pass. center: None in a mix of all operators."""

    name: str
    center: PositiveInt | None = None
    multiplicity: PositiveFloat
    timing: Timing


class RunResult(Artefact):
    """A run of a benchmark on one platform.

    total: whole passes. predicted_seconds: the mix's time, the sum of multiplicity x median time
    over the stages. steady: whether the spread was small before the time limit was reached.
    not_run: the stages that the platform does not run; they are in none of the times.
    """

    SCHEMA: ClassVar[str] = "aimatrix.result"
    SCHEMA_VERSION: ClassVar[int] = 1

    platform: Platform
    environment: dict[str, str]
    benchmark_digest: str
    total: Timing
    stages: tuple[StageTiming, ...]
    predicted_seconds: PositiveFloat
    steady: bool
    not_run: tuple[str, ...] = ()


class FidelityRow(Part):
    """Real against predicted time of one group, or of all; error: predicted / real - 1, signed.

    real: the suite's work, weighted. synthetic: the benchmark's own work as it was measured, done
    once: a stage's in a group's row, that of all stages in a total. multiplicity: of the stage;
    None in a total, where each stage has its own. predicted_seconds: the synthetic time with
    every stage taken as often as its multiplicity says. predicted: of a mix, what each round alone
    predicts, for its spread; predicted_seconds is made of each stage's median.
    """

    name: str
    real: Timing
    synthetic: Timing
    multiplicity: PositiveFloat | None = None
    predicted: Timing | None = None
    predicted_seconds: NonNegativeFloat
    error: float


class ApplicationTiming(Part):
    """One application of the suite on one platform.

    predicted_seconds: what a mix's benchmark says that it takes; None of convolutions alone.
    predicted: what each round says, for its spread.
    """

    name: str
    weight: PositiveFloat
    timing: Timing
    predicted: Timing | None = None
    predicted_seconds: NonNegativeFloat | None = None


class LeftOut(Part):
    """Something that a platform cannot run, and why."""

    name: str
    reason: str


class PlatformFidelity(Part):
    """Fidelity on one platform: the convolutions alone per group and in total, and whole models.

    All rows are None (empty) when the platform could not run at all: ``left_out`` says why.
    suite_share: MACs of the suite's convolutions, weighted, over those that the benchmark stands
    for; far from 1, the suite's weights are not those of the log.
    """

    platform: Platform
    environment: dict[str, str]
    groups: tuple[FidelityRow, ...]
    convolutions: FidelityRow | None
    whole: FidelityRow | None
    #: of a mix: the applications of each class together
    classes: tuple[FidelityRow, ...] = ()
    applications: tuple[ApplicationTiming, ...]
    left_out: tuple[LeftOut, ...] = ()
    suite_share: NonNegativeFloat | None = None

    @property
    def compared(self) -> bool:
        """Whether real and predicted time were compared in anything."""
        return bool(self.groups or self.convolutions or self.whole)


class PlatformRatio(Part):
    """How many times as long as ``second`` the platform ``first`` takes.

    Over the applications that both ran, weighted; error: predicted / real - 1, signed.
    """

    first: str
    second: str
    applications: PositiveInt
    real: PositiveFloat
    predicted: PositiveFloat
    error: float

    @property
    def same_order(self) -> bool:
        """Whether the platform that is faster is told to be it."""
        return (self.real > 1) == (self.predicted > 1)


class Validation(Artefact):
    """Real applications and the benchmark measured interleaved, one process per platform.

    stands_for: of a mix, the applications of the suite that it was held against; empty: all.
    ratios: of a mix, each pair of platforms. rank_agreement: Kendall's tau of these, from 1 (each
    pair is put in its real order) to -1 (none is); None without pairs.
    """

    SCHEMA: ClassVar[str] = "aimatrix.validation"
    SCHEMA_VERSION: ClassVar[int] = 1

    benchmark_digest: str
    platforms: tuple[PlatformFidelity, ...]
    stands_for: tuple[str, ...] = ()
    ratios: tuple[PlatformRatio, ...] = ()
    rank_agreement: float | None = Field(None, ge=-1, le=1)
