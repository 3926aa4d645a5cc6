"""The benchmark's specification: a few stages of layers, each standing for one group of a profile.

Data only. How it is laid out as a model is defined in `docs/benchmark.md`: every backend and the
generated model follow that page and nothing else.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from aimatrix.model.artefact import Artefact, Part
from aimatrix.model.profile import WarpsKind

Pair = tuple[PositiveInt, PositiveInt]


class Layer(Part):
    """One 2-D convolution with bias and a ReLU behind it.

    role: ``main`` layers form the chain through the stage and keep its size; a ``branch`` reads
    the stage's input beside the chain and ends in the head. groups is in_channels for a
    depthwise layer, else 1. macs and warps are those of one execution at the benchmark's batch.
    """

    role: Literal["main", "branch"]
    in_channels: PositiveInt
    out_channels: PositiveInt
    kernel_size: Pair
    stride: Pair
    padding: tuple[NonNegativeInt, NonNegativeInt]
    groups: PositiveInt
    macs: PositiveInt
    warps: PositiveInt

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered alone."""
        return self.groups > 1

    @property
    def name(self) -> str:
        """A short description: ``3x3 64->128``, ``11x11/4 3->96``, ``3x3 depthwise 64``."""
        kernel = "x".join(map(str, self.kernel_size))
        stride = "" if self.stride == (1, 1) else f"/{'x'.join(map(str, sorted(set(self.stride))))}"
        if self.depthwise:
            return f"{kernel}{stride} depthwise {self.in_channels}"
        return f"{kernel}{stride} {self.in_channels}->{self.out_channels}"


class Stage(Part):
    """The layers that stand for one group, all on inputs of ``input_size`` (height, width).

    Branches come first, then the chain.
    multiplicity: how often the real mix does the work of one execution of the stage. macs and
    warps: of one execution; target_macs and target_warps: of the whole group, so that
    ``multiplicity * macs`` is to equal ``target_macs``. fitness_error: 0.01 means one percent.
    """

    name: str
    center: PositiveInt
    input_size: Pair
    in_channels: PositiveInt
    multiplicity: PositiveFloat
    layers: tuple[Layer, ...] = Field(min_length=1)
    macs: PositiveInt
    warps: PositiveInt
    target_macs: PositiveInt
    target_warps: PositiveInt
    fitness_error: NonNegativeFloat

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

    batch: PositiveInt
    dtype: str
    applications: NonNegativeInt
    stages: tuple[Stage, ...] = Field(min_length=1)
    added: AddedWork
    synthesis: Synthesis
