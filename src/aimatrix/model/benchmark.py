"""The benchmark's specification: a few stages of layers, each standing for one group of a profile.

Data only. How it is laid out as a model is defined in `docs/benchmark.md`: every backend and the
generated model follow that page and nothing else.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    model_validator,
)

from aimatrix.model.artefact import Artefact, Part
from aimatrix.model.profile import LARGEST, Name, Size, Total, WarpsKind, distinct

#: a fitness error of 0.01 %: a stage this near to its target has met it
MATCHED = 1e-4

Pair = tuple[Size, Size]
Padding = Annotated[int, Field(ge=0, le=LARGEST)]
#: a group's work over a stage's, each from 1 to the largest total
Multiplicity = Annotated[float, Field(gt=2**-128, lt=2**128)]


class Layer(Part):
    """One 2-D convolution with bias and a ReLU behind it.

    role: ``main`` layers form the chain through the stage and keep its size; a ``branch`` reads
    the stage's input beside the chain and ends in the head. groups is in_channels for a
    depthwise layer, else 1. macs and warps are those of one execution at the benchmark's batch.
    """

    role: Literal["main", "branch"]
    in_channels: Size
    out_channels: Size
    kernel_size: Pair
    stride: Pair
    padding: tuple[Padding, Padding]
    groups: Size
    macs: Total
    warps: Total

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered alone."""
        return self.groups > 1


class Stage(Part):
    """The layers that stand for one group, all on inputs of ``input_size`` (height, width).

    Branches come first, then the chain.
    multiplicity: how often the real mix does the work of one execution of the stage. macs and
    warps: of one execution; target_macs and target_warps: of the whole group, so that
    ``multiplicity * macs`` is to equal ``target_macs``. fitness_error: 0.01 means one percent.
    """

    name: Name
    center: Size
    input_size: Pair
    in_channels: Size
    multiplicity: Multiplicity
    layers: tuple[Layer, ...] = Field(min_length=1)
    macs: Total
    warps: Total
    target_macs: Total
    target_warps: Total
    fitness_error: NonNegativeFloat

    @property
    def matched(self) -> bool:
        """Whether the stage does the work of its group, within the fitness error `MATCHED`."""
        return self.fitness_error <= MATCHED

    @property
    def main(self) -> tuple[Layer, ...]:
        """The chain, in order."""
        return tuple(layer for layer in self.layers if layer.role == "main")

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The layers beside the chain, in order."""
        return tuple(layer for layer in self.layers if layer.role == "branch")

    @property
    def out_channels(self) -> int:
        """Channels at the end of the chain."""
        return self.main[-1].out_channels if self.main else self.in_channels

    @model_validator(mode="after")
    def _chain_is_consistent(self) -> Stage:
        if self.layers != (*self.branches, *self.main):
            raise ValueError(f"{self.name} has a branch behind its chain; branches come first")
        width = self.in_channels
        for number, layer in enumerate(self.layers, start=1):
            expected = width if layer.role == "main" else self.in_channels
            if layer.in_channels != expected:
                raise ValueError(
                    f"layer {number} of {self.name} takes {layer.in_channels} channels"
                    f" where {expected} arrive"
                )
            if layer.depthwise and not (layer.groups == layer.in_channels == layer.out_channels):
                raise ValueError(
                    f"layer {number} of {self.name} has groups that are not its channels"
                )
            if layer.role == "main":
                width = layer.out_channels
        return self


class AddedWork(Part):
    """What the layout adds to the convolutions, of one pass: no MACs, only moved elements."""

    operators: NonNegativeInt
    bytes: NonNegativeInt
    macs: Literal[0] = 0


class Synthesis(Part):
    """How the widths were found; with the profile and these, anyone finds them again."""

    search: str
    seed: int
    terms: dict[str, PositiveFloat]
    warps_kind: WarpsKind = "derived"
    profile_digest: str


class Benchmark(Artefact):
    """A synthetic model: its stages run one after another, from large inputs to small ones."""

    SCHEMA: ClassVar[str] = "aimatrix.benchmark"
    SCHEMA_VERSION: ClassVar[int] = 1

    batch: Size
    dtype: str
    applications: NonNegativeInt
    stages: Annotated[tuple[Stage, ...], AfterValidator(distinct)] = Field(min_length=1)
    added: AddedWork
    synthesis: Synthesis
