"""The profile: what a mix of applications does, as groups of like operators with their totals."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from aimatrix.model.artefact import Artefact, Part, Sides

WarpsKind = Literal["derived", "measured"]


class Filter(Part):
    """Convolutions of one group that share kernel_size, stride and whether they are depthwise.

    padding: the one that most of them use. count: operator calls.
    """

    kernel_size: Sides
    stride: Sides
    depthwise: bool = False
    padding: int | tuple[int, ...]
    count: PositiveInt


class Group(Part):
    """A cluster of 2-D convolutions of like input size.

    center: the size (elements along one side) that stands for the group; input_size: the size
    (height, width) at which the group does most of its MACs; batch: mean batch, weighted by MACs.
    macs, bytes (read + written), parameters and warps are sums over the ``calls`` calls.
    """

    name: str
    family: Literal["convolution"] = "convolution"
    center: PositiveInt
    input_size: tuple[PositiveInt, PositiveInt]
    batch: PositiveFloat
    calls: PositiveInt
    filters: tuple[Filter, ...]
    macs: PositiveInt
    bytes: NonNegativeInt
    parameters: NonNegativeInt
    warps: PositiveInt
    warps_kind: WarpsKind = "derived"


class OtherWork(Part):
    """Work of one family that no group holds; ``macs`` is None where it is not known."""

    family: str
    kinds: tuple[str, ...]
    calls: PositiveInt
    macs: NonNegativeInt | None
    bytes: NonNegativeInt


class UnknownOperator(Part):
    """An operator that no family knows, by its framework's name; bytes of its inputs alone."""

    name: str
    calls: PositiveInt
    bytes: NonNegativeInt


class Coverage(Part):
    """The share of the log that the groups hold, each between 0 and 1.

    macs: of the MACs that are known; ``calls_without_macs`` says for how many calls they are not.
    """

    calls: NonNegativeFloat
    macs: NonNegativeFloat
    bytes: NonNegativeFloat
    calls_without_macs: NonNegativeInt


class Profile(Artefact):
    """The analysis of a workload log over a period."""

    SCHEMA: ClassVar[str] = "aimatrix.profile"
    SCHEMA_VERSION: ClassVar[int] = 1

    since: datetime
    until: datetime
    applications: NonNegativeInt
    hosts: NonNegativeInt
    calls: NonNegativeInt
    dtype: str
    split_groups: bool
    groups: tuple[Group, ...]
    other: tuple[OtherWork, ...]
    unknown: tuple[UnknownOperator, ...]
    coverage: Coverage
