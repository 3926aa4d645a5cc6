"""Which range of a trace ran inside of which, and which launched what on a GPU."""

from __future__ import annotations

from collections.abc import Mapping

from aimatrix.importers.call_tree import Kind
from aimatrix.importers.kineto.events import Events, Range


def nest(events: Events) -> tuple[list[Range], int]:
    """All ranges with their parents, phases and GPU work, parents first.

    Also how many kernels were launched by no operator.
    """
    ranges, launched_by = _nest(events)
    unplaced = _place_work(events, launched_by)
    _add_up(ranges)
    return ranges, unplaced


def _nest(events: Events) -> tuple[list[Range], dict[int, Range]]:
    """All ranges with their parents, parents first; correlation -> the innermost that launched."""
    ranges: list[Range] = []
    launched_by: dict[int, Range] = {}
    for items in events.threads.values():
        # of ranges that begin at once the longer one is outside; a launch is inside both
        items.sort(key=lambda item: item[:2])
        running: list[Range] = []
        for start, _, item in items:
            while running and running[-1].end <= start:
                running.pop()
            if isinstance(item, Range):
                _begin(item, running[-1] if running else None)
                ranges.append(item)
                running.append(item)
            elif running:
                launched_by[item] = running[-1]
    return ranges, launched_by


def _begin(found: Range, parent: Range | None) -> None:
    """Phase as the capture tells it: backward before all, an optimizer's without gradients."""
    found.parent = parent
    around = parent.kind if parent is not None else Kind.RANGE
    found.kind |= around & (Kind.BACKWARD | Kind.OPTIMIZER)
    if found.kind & Kind.BACKWARD:
        found.phase = "backward"
    elif found.kind & Kind.OPTIMIZER and not found.kind & Kind.GRAD:
        found.phase = "optimizer"


def _place_work(events: Events, launched_by: Mapping[int, Range]) -> int:
    """Give each piece of GPU work to the range that launched it; how many kernels have none."""
    # before Kineto linked them, an External id only repeated the correlation
    linked = any(work.external != work.correlation for work in events.work)
    unplaced = 0
    for work in events.work:
        owner = events.by_external.get(work.external) if linked and work.external else None
        if owner is None and work.correlation is not None:
            owner = launched_by.get(work.correlation)
        if owner is None or not _is_in_operator(owner):
            unplaced += work.warps is not None
            continue
        owner.own_work += 1
        if work.warps is not None:
            owner.own_kernels += 1
            owner.warps += work.warps
    recorded = {work.correlation for work in events.work}
    for correlation in events.kernel_launches - recorded:
        if correlation in launched_by:
            launched_by[correlation].lost_kernels += 1
    return unplaced


def _is_in_operator(found: Range | None) -> bool:
    """Whether the range itself or one around it is an operator."""
    while found is not None and not found.is_operator:
        found = found.parent
    return found is not None


def _add_up(ranges: list[Range]) -> None:
    for found in ranges:
        found.work, found.kernels = found.own_work, found.own_kernels
    for found in reversed(ranges):  # children before their parents
        if found.parent is not None:
            found.parent.work += found.work
            found.parent.kernels += found.kernels
            found.parent.warps += found.warps
            found.parent.lost_kernels += found.lost_kernels
