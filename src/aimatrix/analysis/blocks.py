"""Finds blocks: frequent neighbourhoods of operators, from counts of who consumes whose output.

The log has no order, so a block is the likeliest one: each call of an operator that follows others
(an activation, a normalization, a residual add ...) is given to one of its producers, as often as
the counts of pairs say. What leads a block (a convolution, a product, attention ...) begins one.
No call is lost and none is in two blocks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from aimatrix import ops
from aimatrix.model.block import Block, Sources
from aimatrix.model.calls import OpCall
from aimatrix.ops import blocks as shapes

Pairs = Mapping[tuple[OpCall, OpCall], int]

#: operators in a block at most
MOST_OPERATORS = 10
#: counts that are estimates from samples are taken for equal when they differ by less than this
ALIKE = 0.1
#: families whose calls end up behind a producer; all others lead
FOLLOWING = frozenset({"elementwise", "normalization", "reduction", "pooling", "movement"})
#: families that follow where nothing else takes what they take: runtimes keep a layout of their own
#: from one convolution to the next
CHAINED = frozenset({"convolution"})
#: what comes out of these is of another dtype than what goes in
_OTHER_DTYPE = {
    **dict.fromkeys(("eq", "ne", "lt", "gt", "le", "ge", "any", "all"), "bool"),
    **dict.fromkeys(("logical_not", "isnan"), "bool"),
    **dict.fromkeys(("argmax", "argmin"), "int64"),
}


def find_blocks(counts: Mapping[OpCall, int], pairs: Pairs) -> Counter[Block]:
    """How often each block runs, by how often operators are called and feed each other.

    Of one application: other ones may join the same operators in another way.
    """
    return _Blocks(counts, pairs).find()


class _Blocks:
    """Calls that are in no block yet, and how many of them feed which others."""

    def __init__(self, counts: Mapping[OpCall, int], pairs: Pairs) -> None:
        self._counts = dict(sorted(counts.items(), key=lambda item: item[0].spelling))
        self._pairs = {
            pair: count
            for pair, count in pairs.items()
            if all(call in counts and not ops.is_view(call) for call in pair)
        }
        #: producer -> consumer -> calls of the one that those of the other follow
        self._feeding: defaultdict[OpCall, Counter[OpCall]] = defaultdict(Counter)
        self._leading: dict[OpCall, int] = {}
        self._left = dict(self._counts)
        self._behind: dict[OpCall, frozenset[OpCall]] = {}
        self._found: Counter[Block] = Counter()

    def find(self) -> Counter[Block]:
        """How often each block runs."""
        self._attach_all()
        for call in self._feeding:
            self._behind[call] = self._all_behind(call)
        for call, count in self._leading.items():
            self._grow(call, count)
        for call, count in self._left.items():
            if count:  # in a circle of followers
                self._found[shapes.single(call)] += count
        return self._found

    def _attach_all(self) -> None:
        producers: defaultdict[OpCall, list[OpCall]] = defaultdict(list)
        taken: Counter[OpCall] = Counter()
        for (producer, consumer), count in self._pairs.items():
            producers[consumer].append(producer)
            taken[producer] += count
        fan_out = {call: taken[call] / count for call, count in self._counts.items()}
        for call, count in self._counts.items():
            left = count
            # of a residual add's producers, the one that nothing else takes from
            for producer in sorted(producers[call], key=lambda x: (fan_out[x], x.spelling)):
                if _may_follow(call, fan_out[producer]):
                    left -= self._attach(producer, call, left)
            self._leading[call] = left

    def _attach(self, producer: OpCall, call: OpCall, left: int) -> int:
        """Let calls follow a producer's; how many do."""
        total = self._counts[producer]
        count = _snapped(self._pairs[producer, call], total, self._counts[call])
        count = min(count, left, total)
        if count < 1 or _position(producer, call) is None:
            return 0
        self._feeding[producer][call] += count
        return count

    def _all_behind(self, call: OpCall) -> frozenset[OpCall]:
        """What follows a call, at whatever distance."""
        behind: set[OpCall] = set()
        ahead = [call]
        while ahead:
            fresh = [each for each in self._feeding.get(ahead.pop(), ()) if each not in behind]
            behind.update(fresh)
            ahead += fresh
        return frozenset(behind)

    def _grow(self, call: OpCall, count: int) -> None:
        """The blocks that calls of an operator lead."""
        waiting = [_Growing(count, [call], [ops.alone(call)], [0])] if count else []
        while waiting:
            growing = waiting.pop()
            while growing.open:
                rest = self._step(growing)
                if rest is not None:
                    waiting.append(rest)
            self._found[Block(tuple(growing.calls), tuple(growing.sources))] += growing.count
            # what follows a block that is long enough leads another one
            waiting += [
                _Growing(growing.count, [each], [ops.alone(each)], [0]) for each in growing.beyond
            ]

    def _step(self, growing: _Growing) -> _Growing | None:
        """Add what follows the first open operator; the blocks of which nothing like it does."""
        number = growing.open[0]
        producer = growing.calls[number]
        feeding = self._feeding[producer]
        followers = self._followers(producer, growing.calls)
        count = min([growing.count, *(feeding[each] for each in followers)])
        rest = growing.without(count)
        growing.open.pop(0)
        self._left[producer] -= count
        for each in followers:
            feeding[each] -= count
            if len(growing.calls) + _room(each) <= MOST_OPERATORS:
                growing.add(each, number, self._pairs)
            else:
                growing.beyond.append(each)
        return rest

    def _followers(self, producer: OpCall, block: Sequence[OpCall]) -> list[OpCall]:
        """What follows one call of a producer, at the end of a block as far as it is known.

        Several operators, where there are more of them than calls of the producer; else the one
        that leads back to the producer, if there is one, but is not in the block: where a network
        repeats equal layers with others between them, these come first.
        """
        feeding = self._feeding[producer]
        found: list[OpCall] = []
        total = 0
        for each in sorted(
            (call for call in feeding if feeding[call]),
            key=lambda call: (
                call in block,
                producer not in self._behind.get(call, ()),
                -feeding[call],
                call.spelling,
            ),
        ):
            if not found or total + feeding[each] > self._left[producer] * len(found):
                found.append(each)
                total += feeding[each]
        return found


@dataclass(slots=True)
class _Growing:
    """As many blocks on their way: their operators, and which of them may have followers yet.

    beyond: what would follow if the block had room for it.
    """

    count: int
    calls: list[OpCall]
    sources: list[Sources]
    open: list[int]
    beyond: list[OpCall] = field(default_factory=list)

    def without(self, count: int) -> _Growing | None:
        """The blocks but for ``count`` of them, which this one keeps."""
        more, self.count = self.count - count, count
        if not more:
            return None
        copies = (list(each) for each in (self.calls, self.sources, self.open, self.beyond))
        return _Growing(more, *copies)  # type: ignore[arg-type]

    def add(self, call: OpCall, producer: int, pairs: Pairs) -> None:
        """A follower, which may take from others of the block too."""
        sources: list[int | None] = list(ops.alone(call))
        position = _position(self.calls[producer], call)
        for place in range(len(sources)):
            is_main = place == position
            sources[place] = producer if is_main else self._other(call, place, producer, pairs)
        self.calls.append(call)
        self.sources.append(tuple(sources))
        self.open.append(len(self.calls) - 1)

    def _other(self, call: OpCall, place: int, producer: int, pairs: Pairs) -> int | None:
        """The last operator besides the producer from which the call may take that operand."""
        for number in range(len(self.calls) - 1, -1, -1):
            other = self.calls[number]
            if number != producer and pairs.get((other, call)) and _fits(other, call, place):
                return number
        return None


def _may_follow(call: OpCall, fan_out: float) -> bool:
    """Whether a call may follow a producer from whose output ``fan_out`` calls take."""
    return call.family in FOLLOWING or (call.family in CHAINED and fan_out <= 1 + ALIKE)


def _room(call: OpCall) -> int:
    """Operators for which a block has to have room if it takes a call: what follows that too."""
    return 4 if call.family in CHAINED else 1


def _position(producer: OpCall, call: OpCall) -> int | None:
    """The operand that the call takes from the producer; None where it takes none."""
    operands = ops.operands(call) or ()
    if producer.phase != call.phase:
        return None
    places = [place for place in range(len(operands)) if _fits(producer, call, place)]
    elements = shapes.put_out(producer)
    whole = [place for place in places if prod(operands[place].shape) == elements]
    return next(iter([*whole, *places]), None)


def _fits(producer: OpCall, call: OpCall, position: int) -> bool:
    operand = (ops.operands(call) or ())[position]
    dtype = _OTHER_DTYPE.get(producer.kind, producer.dtype)
    return (
        operand.role == "activation"
        and (operand.dtype or call.dtype) == dtype
        and shapes.put_out(producer) >= prod(operand.shape) > 0
    )


def _snapped(count: int, *totals: int) -> int:
    """A count, or a total that it comes near to: of samples, the counts are estimates."""
    for total in totals:
        if abs(count - total) <= ALIKE * total:
            return total
    return count
