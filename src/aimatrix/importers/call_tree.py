"""Which calls of a trace are outermost ones, and in which phase: from who called whom.

Calls come in any order and may name callers that are not there, themselves, or each other in a
circle; nothing here recurses, and a call takes some tens of bytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntFlag
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Call = TypeVar("Call", bound=Hashable)

PHASES = ("forward", "backward", "optimizer")
#: how the ranges begin inside of which work is of another phase than forward
BACKWARD_RANGE = "autograd::engine::evaluate_function"
OPTIMIZER_RANGE = "Optimizer.step#"


class Kind(IntFlag):
    """What an entry of the tree is. GRAD: an operator that ran with gradients enabled."""

    RANGE = 0
    OPERATOR = 1
    BACKWARD = 2
    OPTIMIZER = 4
    GRAD = 8


def kind_of_range(name: str) -> Kind:
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
    """Entries (operators and ranges) by number, with the number of the one that they are inside."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._parents = array("q")
        self._kinds = array("b")
        self._calls = array("i")
        self._known: dict[Call, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def distinct(self) -> int:
        """How many different calls there are."""
        return len(self._known)

    def add(self, number: int, parent: int, kind: Kind, call: Call | None = None) -> bool:
        """Add an entry; whether its call is a new one. Its own parent is a root.

        Raises OverflowError for numbers of more than 63 bits.
        """
        is_new = call is not None and call not in self._known
        at = -1 if call is None else self._known.setdefault(call, len(self._known))
        array("q", (number, parent))  # both can be kept, before either is
        self._ids.append(number)
        self._parents.append(parent)
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

    def _callers(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
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
        return np.append(np.where(is_root, root, at), root), is_twice, is_lost


def _above(
    kinds: npt.NDArray[np.int8], up: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
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
