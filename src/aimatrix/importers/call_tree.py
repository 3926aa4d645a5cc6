"""Which calls of a trace are outermost ones, and in which phase: from who called whom.

Calls come in any order and may name callers that are not there, themselves, or each other in a
circle; nothing here recurses, and a call takes some tens of bytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Call = TypeVar("Call", bound=Hashable)

_Places = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]

PHASES = ("forward", "backward", "optimizer")
#: how the ranges begin inside of which work is of another phase than forward
BACKWARD_RANGE = "autograd::engine::evaluate_function"
OPTIMIZER_RANGE = "Optimizer.step#"


class Kind:
    """What an entry of the tree is: plain numbers, since there are millions of them.

    GRAD: an operator that ran with gradients enabled. ROOT: a process or a thread.
    """

    RANGE = 0
    OPERATOR = 1
    BACKWARD = 2
    OPTIMIZER = 4
    GRAD = 8
    ROOT = 16


def kind_of_range(name: str) -> int:
    """What a range that is no operator tells by its name of the operators inside."""
    if name.startswith(BACKWARD_RANGE):
        return Kind.BACKWARD
    return Kind.OPTIMIZER if name.startswith(OPTIMIZER_RANGE) else Kind.RANGE


@dataclass(frozen=True, slots=True)
class Outermost(Generic[Call]):
    """The outermost calls with their phases, counted.

    odd: entries whose number is another's, or that are inside of themselves. orphans: outermost
    calls whose caller is not there.
    """

    calls: Counter[tuple[Call, str]]
    odd: int
    orphans: int


class CallTree(Generic[Call]):
    """Entries (operators and ranges) by number, with the number of the one that they are inside.

    Where entries come in the order in which they ended, numbered in that in which they began, that
    alone tells who was inside of whom. It is believed where the caller that an entry names had
    ended before, or is not there: when an operator raises, torch writes nothing of it, and
    takes it for open ever after.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        self._parents = array("q")
        self._threads = array("q")
        self._kinds = array("b")
        self._calls = array("i")
        self._known: dict[Call, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def distinct(self) -> int:
        """How many different calls there are."""
        return len(self._known)

    def add(
        self, number: int, parent: int, thread: int, kind: int, call: Call | None = None
    ) -> bool:
        """Add an entry; whether its call is a new one. Its own parent is a root.

        Raises OverflowError for numbers of more than 63 bits.
        """
        is_new = call is not None and call not in self._known
        at = -1 if call is None else self._known.setdefault(call, len(self._known))
        array("q", (number, parent, thread))  # all can be kept, before any is
        self._ids.append(number)
        self._parents.append(parent)
        self._threads.append(thread)
        self._kinds.append(kind)
        self._calls.append(at)
        return is_new

    def outermost(self) -> Outermost[Call]:
        """Who is inside of no operator."""
        kinds = np.append(np.asarray(self._kinds, dtype=np.int8), np.int8(0))
        up, is_twice, is_lost = self._callers()
        above, in_circle = _above(kinds, up)
        is_odd = (in_circle | is_twice)[:-1]
        own, above = kinds[:-1], above[:-1]
        counts = (own & Kind.OPERATOR != 0) & (above & Kind.OPERATOR == 0) & ~is_odd
        in_step = (above & Kind.OPTIMIZER != 0) & (own & Kind.GRAD == 0)
        phases = np.where(above & Kind.BACKWARD != 0, 1, np.where(in_step, 2, 0))
        keys = np.asarray(self._calls, dtype=np.int64)[counts] * len(PHASES) + phases[counts]
        names = list(self._known)
        found: Counter[tuple[Call, str]] = Counter()
        for key, calls in zip(*np.unique(keys, return_counts=True), strict=True):
            at, phase = divmod(int(key), len(PHASES))
            found[names[at], PHASES[phase]] = int(calls)
        return Outermost(found, int(is_odd.sum()), int((counts & is_lost[:-1]).sum()))

    def _callers(self) -> tuple[_Places, _Flags, _Flags]:
        """Per entry: the place of its caller, whether its number is taken, its caller missing.

        The last place, behind all entries, is a root above all of them.
        """
        ids = np.asarray(self._ids, dtype=np.int64)
        parents = np.asarray(self._parents, dtype=np.int64)
        root = len(ids)
        order = np.argsort(ids, kind="stable")
        is_twice = np.zeros(root + 1, dtype=bool)
        is_twice[order[1:][np.diff(ids[order]) == 0]] = True
        at = order[np.minimum(np.searchsorted(ids[order], parents), max(root - 1, 0))]
        is_lost = np.append(ids[at] != parents, False)
        is_root = is_lost[:-1] | (ids == parents)
        up = np.append(np.where(is_root, root, at), root)
        self._mend_callers(up, is_lost)
        return up, is_twice, is_lost

    def _mend_callers(self, up: _Places, is_lost: _Flags) -> None:
        root = len(self._ids)
        kinds = np.append(np.asarray(self._kinds, dtype=np.int8), np.int8(Kind.ROOT))
        places = np.arange(root + 1)
        is_nested = (kinds & Kind.ROOT == 0) & (kinds[up] & Kind.ROOT == 0)
        is_early = is_nested & (up < places)
        if 2 * is_early.sum() > is_nested.sum():
            return  # in another order
        enclosing = self._enclosing(np.flatnonzero(is_early | is_lost))
        for place, caller in enclosing.items():
            up[place] = caller

    def _enclosing(self, asked: _Places) -> dict[int, int]:
        """The next entry of the same thread that began before the one that is asked for."""
        found: dict[int, int] = {}
        wanted = set(asked.tolist())
        open_ones: dict[int, list[int]] = {}
        for place in range(len(self._ids)) if wanted else ():
            waiting = open_ones.setdefault(self._threads[place], [])
            while waiting and self._ids[waiting[-1]] > self._ids[place]:
                found[waiting.pop()] = place
            if place in wanted:
                waiting.append(place)
        return {**dict.fromkeys(wanted, len(self._ids)), **found}


def _above(kinds: npt.NDArray[np.int8], up: _Places) -> tuple[npt.NDArray[np.int8], _Flags]:
    """The kinds of all that an entry is inside of, joined; and whether it never gets to the root.

    Doubles the way that each entry has looked up until all have arrived.
    """
    root = len(up) - 1
    above = kinds[up]
    for _ in range(root.bit_length() + 1):
        if (up == root).all():
            break
        above = above | above[up]
        up = up[up]
    return above, up != root
