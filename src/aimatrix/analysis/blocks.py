"""Finds blocks: frequent neighbourhoods of operators, from counts of who consumes whose output.

The log has no order, so a block is the likeliest one: each call of an operator that follows others
(an activation, a normalization, a residual add ...) is given to one of its producers, as often as
the counts of pairs say. What leads a block (a convolution, a product, attention ...) begins one.
No call is lost and none is in two blocks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from aimatrix import ops
from aimatrix.model.block import Block, Sources
from aimatrix.model.calls import OpCall
from aimatrix.ops import blocks as shapes

Pairs = Mapping[tuple[OpCall, OpCall], int]

#: operators in a block at most
MOST_OPERATORS = 8
#: counts that are estimates from samples are taken for equal when they differ by less than this
ALIKE = 0.1
#: families whose calls end up behind a producer; all others lead
FOLLOWING = frozenset({"elementwise", "normalization", "reduction", "pooling", "movement"})
#: what comes out of these is of another dtype than what goes in
_OTHER_DTYPE = frozenset(
    {"eq", "ne", "lt", "gt", "le", "ge", "argmax", "argmin", "any", "all", "logical_not", "isnan"}
)


def find_blocks(counts: Mapping[OpCall, int], pairs: Pairs) -> Counter[Block]:
    """How often each block runs, by how often operators are called and feed each other.

    Of one application: other ones may join the same operators in another way.
    """
    return _Blocks(counts, pairs).find()


@dataclass(frozen=True, slots=True)
class _Span:
    """Calls of one operator, numbered from ``first`` to below ``end``."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class _Attached:
    """Calls of an operator that follow calls of another: as many of either, in order."""

    consumer: OpCall
    position: int
    at_producer: _Span
    first_at_consumer: int


class _Blocks:
    def __init__(self, counts: Mapping[OpCall, int], pairs: Pairs) -> None:
        self._counts = dict(sorted(counts.items(), key=lambda item: _spelling(item[0])))
        self._pairs = {
            pair: count
            for pair, count in pairs.items()
            if all(call in counts and call.kind != "view" for call in pair)
        }
        self._attached: defaultdict[OpCall, list[_Attached]] = defaultdict(list)
        self._leading: dict[OpCall, int] = {}
        self._found: Counter[Block] = Counter()
        self._done: Counter[OpCall] = Counter()

    def find(self) -> Counter[Block]:
        self._attach_all()
        for call, count in self._leading.items():
            # calls that lead are numbered behind those that follow
            total = self._counts[call]
            self._grow(call, _Span(total - count, total))
        for call, count in self._counts.items():
            if count > self._done[call]:  # in a circle of followers, or too far from what leads
                self._found[shapes.single(call)] += count - self._done[call]
        return self._found

    def _attach_all(self) -> None:
        producers: defaultdict[OpCall, list[OpCall]] = defaultdict(list)
        fan_out: Counter[OpCall] = Counter()
        for (producer, consumer), count in self._pairs.items():
            producers[consumer].append(producer)
            fan_out[producer] += count
        taken: Counter[OpCall] = Counter()
        for call, count in self._counts.items():
            left = count
            if call.family in FOLLOWING:
                # of a residual add's producers, the one that nothing else takes from
                ordered = sorted(
                    producers[call],
                    key=lambda each: (fan_out[each] / self._counts[each], _spelling(each)),
                )
                for producer in ordered:
                    left -= self._attach(producer, call, count - left, left, taken)
            self._leading[call] = left

    def _attach(
        self, producer: OpCall, call: OpCall, first: int, left: int, taken: Counter[OpCall]
    ) -> int:
        """Let calls follow a producer's; how many do."""
        position = _position(producer, call)
        total = self._counts[producer]
        count = _snapped(self._pairs[producer, call], total, self._counts[call])
        count = min(count, left, total)
        if position is None or count < 1:
            return 0
        begin = taken[producer] % total
        taken[producer] += count
        at_end = min(count, total - begin)
        spans = [_Span(begin, begin + at_end), _Span(0, count - at_end)]
        for span in spans:
            if span.size:
                self._attached[producer].append(_Attached(call, position, span, first))
                first += span.size
        return count

    def _grow(self, call: OpCall, span: _Span) -> None:
        """Blocks that calls of an operator lead."""
        stack = [_beginning(call, span)]
        while stack:
            growing = stack.pop()
            split = self._step(growing)
            if split is None:
                self._keep(growing)
                # what follows a block that is long enough leads another one
                stack.extend(_beginning(*each) for each in growing.beyond)
            else:
                stack.extend(split)

    def _step(self, growing: _Growing) -> list[_Growing] | None:
        """The block with the next operator, and where only some calls have it, without it too."""
        while growing.open:
            number, span = growing.open[0]
            producer = growing.calls[number]
            inside = [
                each
                for each in self._attached[producer]
                if each.at_producer.first < span.end and each.at_producer.end > span.first
            ]
            cut = _cut(span, inside)
            if cut is not None:
                return [growing.cut(cut - span.first, first=part) for part in (True, False)]
            growing.open.pop(0)
            for each in inside:
                offset = span.first - each.at_producer.first
                begin = each.first_at_consumer + offset
                own = _Span(begin, begin + span.size)
                if len(growing.calls) < MOST_OPERATORS:
                    growing.add(each, number, own, self._pairs)
                elif each.consumer not in growing.calls:  # of a circle, the rest is left alone
                    growing.beyond.append((each.consumer, own))
        return None

    def _keep(self, growing: _Growing) -> None:
        count = growing.count
        for call in growing.calls:
            count = min(count, self._counts[call] - self._done[call])
        if count < 1:
            return
        times = Counter(growing.calls)
        count = min([count, *((self._counts[c] - self._done[c]) // n for c, n in times.items())])
        if count < 1:
            return
        for call, n in times.items():
            self._done[call] += n * count
        self._found[Block(tuple(growing.calls), tuple(growing.sources))] += count


@dataclass(slots=True)
class _Growing:
    """A block on its way: its operators, and which of them may have followers yet."""

    calls: list[OpCall]
    sources: list[Sources]
    open: list[tuple[int, _Span]]
    #: what would follow if the block had room for it
    beyond: list[tuple[OpCall, _Span]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        if self.open:
            self.count = self.open[0][1].size

    def cut(self, size: int, first: bool) -> _Growing:
        """The block for the first ``size`` of its calls, or for the others."""
        spans = [
            (number, _Span(s.first, s.first + size) if first else _Span(s.first + size, s.end))
            for number, s in self.open
        ]
        beyond = [
            (call, _Span(s.first, s.first + size) if first else _Span(s.first + size, s.end))
            for call, s in self.beyond
        ]
        return _Growing(list(self.calls), list(self.sources), spans, beyond)

    def add(self, attached: _Attached, producer: int, span: _Span, pairs: Pairs) -> None:
        """A follower, which may take from others of the block too."""
        call = attached.consumer
        sources: list[int | None] = list(ops.alone(call))
        sources[attached.position] = producer
        for position, source in enumerate(sources):
            if source is None:
                sources[position] = self._other_source(call, position, producer, pairs)
        self.calls.append(call)
        self.sources.append(tuple(sources))
        self.open.append((len(self.calls) - 1, span))

    def _other_source(self, call: OpCall, position: int, producer: int, pairs: Pairs) -> int | None:
        """The last operator besides the producer from which the call may take that operand."""
        for number in range(len(self.calls) - 1, -1, -1):
            other = self.calls[number]
            if number != producer and pairs.get((other, call)) and _fits(other, call, position):
                return number
        return None


def _beginning(call: OpCall, span: _Span) -> _Growing:
    return _Growing([call], [ops.alone(call)], [(0, span)])


def _cut(span: _Span, attached: Iterable[_Attached]) -> int | None:
    """Where the calls of a span begin to have other followers; None where all have the same."""
    ends = {each.at_producer.first for each in attached} | {
        each.at_producer.end for each in attached
    }
    return min((end for end in ends if span.first < end < span.end), default=None)


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
    dtype = "bool" if producer.kind in _OTHER_DTYPE else producer.dtype
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


def _spelling(call: OpCall) -> tuple[str, ...]:
    return (call.family, call.kind, call.attributes_json(), call.dtype, call.phase)
