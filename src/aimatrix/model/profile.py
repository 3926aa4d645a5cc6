"""The profile: what a mix of applications does, as groups of like operators with their totals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from aimatrix.model.artefact import Artefact, Part, Sides, expand
from aimatrix.model.block import Block
from aimatrix.model.operators import BlockOperators, OperatorWork, block_of

WarpsKind = Literal["derived", "measured"]


def _two_sides(value: Sides, least: int) -> Sides:
    sizes = expand(value)
    if len(sizes) != 2 or not all(least <= size <= LARGEST for size in sizes):
        raise ValueError(f"has to be one size or two, each from {least} to {LARGEST}")
    return value


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """The name."""


N = TypeVar("N", bound=Named)


def distinct(items: tuple[N, ...]) -> tuple[N, ...]:
    """The items themselves; ValueError when two of them have one name."""
    names = [item.name for item in items]
    if len(set(names)) < len(names):
        raise ValueError("two of them have the same name")
    return items


#: the largest size and batch that a file may state: arithmetic on them stays inside 64 bits
LARGEST = 2**31
Size = Annotated[int, Field(ge=1, le=LARGEST)]
#: sums over a log: a fleet's MACs of some weeks no longer fit into 64 bits
Total = Annotated[int, Field(ge=1, lt=2**127)]
#: of a group or stage: ours, and safe in Markdown, on a terminal and in a file's name
Name = Annotated[str, Field(pattern=r"^\w[\w .-]{0,63}$")]
Kernel = Annotated[Sides, AfterValidator(lambda value: _two_sides(value, 1))]
Padding = Annotated[Sides, AfterValidator(lambda value: _two_sides(value, 0))]


class Filter(Part):
    """Convolutions of one group that share kernel_size, stride and whether they are depthwise.

    padding: the one that most of them use. count: operator calls.
    """

    kernel_size: Kernel
    stride: Kernel
    depthwise: bool = False
    padding: Padding
    count: Total


class Group(Part):
    """A cluster of 2-D convolutions of like input size.

    center: the size (elements along one side) that stands for the group; input_size: the size
    (height, width) at which the group does most of its MACs; batch: mean batch, weighted by MACs.
    macs, bytes (read + written), parameters and warps are sums over the ``calls`` calls.
    """

    name: Name
    family: Literal["convolution"] = "convolution"
    center: Size
    input_size: tuple[Size, Size]
    batch: Annotated[float, Field(gt=0, le=LARGEST)]
    calls: Total
    filters: tuple[Filter, ...] = Field(min_length=1)
    macs: Total
    bytes: NonNegativeInt
    parameters: NonNegativeInt
    warps: Total
    warps_kind: WarpsKind = "derived"


class OtherWork(Part):
    """Work of one family that no group holds; ``macs`` is None where it is not known."""

    family: str
    kinds: tuple[str, ...]
    calls: PositiveInt
    macs: NonNegativeInt | None
    bytes: NonNegativeInt


class OperatorCount(OperatorWork):
    """How often the mix calls an operator."""

    calls: Total


class BlockCount(Part):
    """A frequent neighbourhood of operators, and how often the mix runs it."""

    operators: BlockOperators
    calls: Total

    @property
    def block(self) -> Block:
        """The operators as a block."""
        return block_of(self.operators)


class UnknownOperator(Part):
    """An operator that no family knows, by its framework's name; bytes of its inputs alone."""

    name: str
    calls: PositiveInt
    bytes: NonNegativeInt


class Coverage(Part):
    """The share of the log that the groups hold, each between 0 and 1.

    macs: of the MACs that are known; ``calls_without_macs`` says for how many calls they are not.
    estimated_calls: how many calls of the log are an estimate from sampling. known_calls,
    known_bytes: the share that is of a known family, in a group or not; None in profiles of
    releases that did not tell it. Of an operator that is not known, bytes are those of its inputs.
    """

    calls: NonNegativeFloat
    macs: NonNegativeFloat
    bytes: NonNegativeFloat
    calls_without_macs: NonNegativeInt
    estimated_calls: NonNegativeInt = 0
    known_calls: NonNegativeFloat | None = None
    known_bytes: NonNegativeFloat | None = None


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
    groups: Annotated[tuple[Group, ...], AfterValidator(distinct)]
    other: tuple[OtherWork, ...]
    unknown: tuple[UnknownOperator, ...]
    coverage: Coverage
    #: every operator of the mix that is known; none in profiles of releases that did not tell them
    operators: tuple[OperatorCount, ...] = ()
    #: the same operators as blocks of those that feed each other; each is in as many as its calls
    blocks: tuple[BlockCount, ...] = ()
