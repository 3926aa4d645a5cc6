"""A mix of operators of every family: what a profile counts, and the benchmark that stands for it.

Data only. How a backend runs a stage is defined in `docs/mix.md`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from aimatrix.model.artefact import Artefact, Part
from aimatrix.model.benchmark import Multiplicity
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.model.operators import BlockOperators, block_of
from aimatrix.model.profile import Name, Total, distinct


class MixStage(Part):
    """A block of operators that stands for all the like ones of a mix.

    operators: in the order in which they run. One execution runs the block ``repeats`` times, each
    time on tensors of its own. center: the sizes (`aimatrix.analysis.likeness`) around which what
    it stands for lies.
    multiplicity: how often the mix does the work of one execution, on processors;
    multiplicity_on_accelerators: on others, where little work takes hardly less time than much.
    macs, bytes and warps are those of one execution; target_calls, target_macs, target_bytes and
    target_warps those of the mix, so that ``multiplicity * macs`` is to equal ``target_macs``.
    fitness_error: 0.01 is one percent.
    """

    name: Name
    operators: BlockOperators
    center: tuple[float, ...]
    repeats: PositiveInt
    multiplicity: Multiplicity
    multiplicity_on_accelerators: Multiplicity
    macs: NonNegativeInt
    bytes: NonNegativeInt
    warps: NonNegativeInt
    target_calls: Total
    target_macs: NonNegativeInt
    target_bytes: NonNegativeInt
    target_warps: NonNegativeInt
    fitness_error: NonNegativeFloat

    def multiplicity_on(self, device: str) -> float:
        """The multiplicity on a device (``cpu``, ``cuda:1`` ...)."""
        return self.multiplicity if device == "cpu" else self.multiplicity_on_accelerators

    @property
    def calls(self) -> tuple[OpCall, ...]:
        """The operators as calls."""
        return self.block.calls

    @property
    def block(self) -> Block:
        """The operators as a block."""
        return block_of(self.operators)


class MixSynthesis(Part):
    """How the stages were found; with the profile and these, anyone finds them again.

    estimated_error: the largest error of the mix's time on the imagined machines.
    rounds: how often the mix was done, as far as its counts tell. estimated_reduction: the time of
    a round over that of a pass on these machines, the geometric mean.
    """

    seed: int
    rounds: PositiveInt
    estimated_error: NonNegativeFloat
    estimated_reduction: NonNegativeFloat
    profile_digest: str


class MixBenchmark(Artefact):
    """A synthetic workload: its stages run one after another."""

    SCHEMA: ClassVar[str] = "aimatrix.mix"
    SCHEMA_VERSION: ClassVar[int] = 1

    dtype: str
    applications: NonNegativeInt
    stages: Annotated[tuple[MixStage, ...], AfterValidator(distinct)] = Field(min_length=1)
    synthesis: MixSynthesis
