"""Condenses a mix: step by step fewer and smaller blocks that stand for all of them.

Two kinds of steps make a benchmark shorter: two clusters of like blocks become one, or the
block that stands for a cluster gets half of a width. Each step costs fidelity, by the imagined
machines. The step that saves the most time for what it costs is taken first.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from math import ceil, hypot

import numpy as np

from aimatrix.analysis.likeness import (
    Key,
    apart,
    kind_of_block,
    leader_of,
    sizes,
    sizes_of_block,
)
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.ops import blocks
from aimatrix.synthesis.machines import Array, seconds, sort_of, times_on_each

#: seconds that a stage is to take at least, on the slowest imagined machines: clocks and the
#: dispatch of a stage have to be small beside it
LEAST_SECONDS = 50e-6
MOST_REPEATS = 16
#: octaves by which sizes may differ in a cluster at most, whatever is saved
MOST_APART = 3.0
#: like clusters that are nearest to one, with which it may be joined
NEIGHBOURS = 3
#: the share of a mix's time in operators that may be called less often than it has rounds
ONCE = 0.05
#: how far the imagined machines are trusted when something changes, as shares of a cluster's time:
#: half as many repetitions of the same, half of another width, an octave between two clusters, and
#: another structure
DOUBT_OF_REPETITIONS = 0.01
DOUBT_OF_WIDTH = 0.06
DOUBT_OF_OCTAVE = 0.02
DOUBT_OF_STRUCTURE = 0.03
#: the power with which a cluster's cost counts: as they miss by chance too, in both directions, one
#: large miss is worse than many small ones
SEVERITY = 1.5
#: a step that costs less than this is as good as one that costs nothing
NOTHING = 1e-10


@dataclass(frozen=True, slots=True)
class Member:
    """Equal blocks of a mix: one of them, how many, and their share of the mix's time.

    seconds: of one block, on each imagined machine. share: of all of them, the mean over machines.
    """

    block: Block
    count: int
    seconds: Array
    share: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Like blocks, and the one that stands for them.

    center: the block around which they lie, the one with the largest share of time. block: the
    centre, or a smaller one like it, run ``repeats`` times in one execution. multiplicity:
    executions that take the time of all members in a round, on each machine that of its sort.
    share: of the mix's time that an execution takes, the mean over machines. miss: what the
    executions take beyond the members, as shares of the mix's time on each machine.
    """

    members: tuple[Member, ...]
    center: Block
    block: Block
    repeats: int
    multiplicity: Array
    share: float
    miss: Array
    #: how far its time may be off because machines are not as imagined, as a share of the mix's
    doubt: float
    #: seconds of all members in a round and of one ``block``, on each imagined machine
    seconds: Array
    each: Array

    @property
    def cost(self) -> float:
        """The share of the mix's time by which the cluster may miss it, on the worst machine."""
        return float(np.abs(self.miss).max()) + self.doubt

    @property
    def members_share(self) -> float:
        """The share of the mix's time that all members take, the mean over machines."""
        return sum(member.share for member in self.members)

    @property
    def calls(self) -> int:
        """How many blocks all members are."""
        return sum(member.count for member in self.members)

    def total(self, what: str) -> int:
        """The sum over all members of ``macs``, ``bytes`` or ``warps``."""
        costs = [(blocks.cost(member.block), member.count) for member in self.members]
        return sum(count * (getattr(cost, what) or 0) for cost, count in costs)


class Mix:
    """The blocks of a mix, and the seconds of a round of it on each imagined machine.

    rounds: how often the mix was done, as far as counts tell: all but a small share of its time
    (`ONCE`) is of operators that ran at least so often. What begins a program is in the
    rest. All else is of one round, so that a longer log gives the same benchmark.
    """

    def __init__(self, counts: Sequence[tuple[Block, int]]) -> None:
        counted = sorted(counts, key=lambda item: _spelling(item[0]))
        each = seconds([block for block, _ in counted])
        numbers = [number for _, number in counted]
        self.rounds = _rounds(counted)
        a_round = each * np.array([number / self.rounds for number in numbers])
        self.seconds: Array = a_round.sum(axis=1)
        shares = (a_round / self.seconds[:, None]).mean(axis=0)
        self.members = [
            Member(block, number, each[:, index], float(shares[index]))
            for index, (block, number) in enumerate(counted)
        ]

    def single(self, member: Member) -> Cluster:
        """A member that stands for itself."""
        total = member.seconds * (member.count / self.rounds)
        return self._cluster((member,), member.block, member.block, total, member.seconds, 0.0)

    def shrunk(self, cluster: Cluster, block: Block, doubt: float) -> Cluster:
        """The same members with another block that stands for them.

        doubt: how far the machines are trusted in that, as a share of the cluster's time.
        """
        each = seconds([block])[:, 0]
        more = doubt * cluster.members_share
        members, center, total = cluster.members, cluster.center, cluster.seconds
        return self._cluster(members, center, block, total, each, cluster.doubt + more)

    def joined(self, one: Cluster, other: Cluster, doubt: float) -> Cluster:
        """Both clusters, with what stands for the one that takes more time.

        doubt: how far the machines are trusted in that, as a share of the other one's time.
        """
        first, second = sorted((one, other), key=_order)
        members = tuple(sorted((*first.members, *second.members), key=_member_order))
        total = first.seconds + second.seconds
        more = doubt * second.members_share
        doubts = first.doubt + second.doubt + more
        return self._cluster(members, first.center, first.block, total, first.each, doubts)

    def _cluster(
        self,
        members: tuple[Member, ...],
        center: Block,
        block: Block,
        total: Array,
        each: Array,
        doubt: float,
    ) -> Cluster:
        repeats = min(MOST_REPEATS, max(1, ceil(LEAST_SECONDS / float(each.max()))))
        calls = sum(member.count for member in members)
        repeats = min(repeats, max(1, ceil(calls / self.rounds)))
        once = each * repeats
        multiplicity = times_on_each(total, once)
        share = float((once / self.seconds).mean())
        miss = (multiplicity * once - total) / self.seconds
        return Cluster(
            members, center, block, repeats, multiplicity, share, miss, doubt, total, each
        )


@dataclass(frozen=True, slots=True)
class Condensed:
    """A mix condensed so far; its clusters in no order.

    error: the largest error of the mix's time on any imagined machine. reduction: how many times
    less time than a round of the mix a pass takes, the geometric mean over processors.
    """

    clusters: tuple[Cluster, ...]
    error: float
    reduction: float

    def by_share(self) -> list[Cluster]:
        """The clusters, the largest share of time first."""
        return sorted(self.clusters, key=_order)


def condense(mix: Mix) -> Iterator[Condensed]:
    """The mix in ever fewer and smaller blocks: from each its own stage on."""
    steps = _Steps(mix)
    yield steps.condensed()
    while steps.take():
        yield steps.condensed()


class _Steps:
    """The clusters as they are, and the steps that could be taken next."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._clusters: dict[int, Cluster] = {}
        self._sizes: dict[int, tuple[float, ...]] = {}
        self._kinds: dict[int, Key] = {}
        self._like: defaultdict[Key, set[int]] = defaultdict(set)
        self._queue: list[tuple[float, int, tuple[int, ...], Cluster]] = []
        self._ages = count()  # of two steps of one rank, the one offered first
        self._numbers = 0
        self._miss = np.zeros_like(mix.seconds)
        self._pass = np.zeros_like(mix.seconds)
        for member in mix.members:
            self._add(mix.single(member))
        for number in list(self._clusters):
            self._offer(number)

    def condensed(self) -> Condensed:
        """The clusters as they are now."""
        on = sort_of("cpu")
        reduction = float(np.exp(np.log(self._mix.seconds[on] / self._pass[on]).mean()))
        doubts = [cluster.doubt for cluster in self._clusters.values()]
        error = float(np.abs(self._miss).max()) + hypot(*doubts)
        return Condensed(tuple(self._clusters.values()), error, reduction)

    def take(self) -> bool:
        """Take the best step; False when there is none left."""
        while self._queue:
            _, _, old, new = heapq.heappop(self._queue)
            if all(number in self._clusters for number in old):
                for number in old:
                    self._remove(number)
                self._offer(self._add(new))
                return True
        return False

    def _add(self, cluster: Cluster) -> int:
        self._numbers += 1
        self._clusters[self._numbers] = cluster
        self._sizes[self._numbers] = sizes_of_block(cluster.center)
        self._kinds[self._numbers] = kind_of_block(cluster.center)
        self._like[leader_of(cluster.center)].add(self._numbers)
        self._account(cluster, 1)
        return self._numbers

    def _remove(self, number: int) -> None:
        cluster = self._clusters.pop(number)
        self._like[leader_of(cluster.center)].discard(number)
        self._account(cluster, -1)

    def _account(self, cluster: Cluster, sign: int) -> None:
        self._miss += sign * cluster.miss
        self._pass += sign * cluster.each * cluster.repeats

    def _offer(self, number: int) -> None:
        """Queue the steps that a cluster can be part of."""
        cluster = self._clusters[number]
        for block, doubt in _halved(cluster.block):
            self._push((number,), self._mix.shrunk(cluster, block, doubt))
        for other, doubt in self._neighbours(number):
            self._push((number, other), self._mix.joined(cluster, self._clusters[other], doubt))

    def _neighbours(self, number: int) -> list[tuple[int, float]]:
        """Those of the same kind that are nearest in size, and as many of another structure.

        With how far the machines are trusted in a join.
        """
        kind = self._kinds[number]
        like = self._like[leader_of(self._clusters[number].center)] - {number}
        same = [other for other in like if self._kinds[other] == kind]
        others = [other for other in like if self._kinds[other] != kind]
        return [*self._nearest(number, same), *self._nearest(number, others)]

    def _nearest(self, number: int, others: Sequence[int]) -> list[tuple[int, float]]:
        own = self._sizes[number]
        leads = len(sizes(self._clusters[number].center.calls[0]))

        def far(other: int) -> float:
            theirs = self._sizes[other]
            same = self._kinds[other] == self._kinds[number]
            return apart(own, theirs) if same else apart(own[:leads], theirs[:leads])

        nearest = sorted((far(other), other) for other in others)
        return [
            (other, DOUBT_OF_OCTAVE * octaves + self._doubt_of_structure(number, other))
            for octaves, other in nearest[:NEIGHBOURS]
            if octaves <= MOST_APART
        ]

    def _doubt_of_structure(self, one: int, other: int) -> float:
        return 0.0 if self._kinds[one] == self._kinds[other] else DOUBT_OF_STRUCTURE

    def _push(self, old: tuple[int, ...], new: Cluster) -> None:
        before = [self._clusters[number] for number in old]
        saved = sum(cluster.share for cluster in before) - new.share
        if saved <= 0:
            return
        lost = new.cost**SEVERITY - sum(cluster.cost**SEVERITY for cluster in before)
        rank = max(lost, NOTHING) / saved
        heapq.heappush(self._queue, (rank, next(self._ages), old, new))


def _rounds(counts: Sequence[tuple[Block, int]]) -> int:
    """The count that operators with all but `ONCE` of the time have at least.

    Of operators, whose counts are exact: how often which of them follow one is an estimate.
    """
    calls: Counter[OpCall] = Counter()
    for block, number in counts:
        for call in block.calls:
            calls[call] += number
    each = seconds([blocks.single(call) for call in calls])
    times = each * np.array(list(calls.values()), dtype=float)
    shares = (times / times.sum(axis=1, keepdims=True)).mean(axis=0)
    rarest = sorted(zip(calls.values(), shares, strict=True))
    share = 0.0
    for number, own in rarest:
        share += float(own)
        if share >= ONCE:
            return number
    return 1


def _halved(block: Block) -> Iterator[tuple[Block, float]]:
    """The block with half of one of its widths, for each that is large enough.

    With how far the machines are trusted in that.
    """
    widths = blocks.widths(block)
    kinds = zip(widths, blocks.least_widths(block), blocks.repeats_in(block), strict=True)
    for index, (width, least, repeats) in enumerate(kinds):
        if width >= 2 * least:
            halved = (*widths[:index], width // 2, *widths[index + 1 :])
            smaller = blocks.with_widths(block, halved)
            if smaller is not None:
                # one alone is often done in another way than many
                even = repeats and width // 2 > 1
                yield smaller, DOUBT_OF_REPETITIONS if even else DOUBT_OF_WIDTH


def _order(cluster: Cluster) -> tuple[float, tuple[str, ...]]:
    return (-cluster.members_share, _spelling(cluster.center))


def _member_order(member: Member) -> tuple[float, tuple[str, ...]]:
    return (-member.share, _spelling(member.block))


@cache
def _spelling(block: Block) -> tuple[str, ...]:
    words = (word for call in block.calls for word in call.spelling)
    return (*words, str(block.sources))
