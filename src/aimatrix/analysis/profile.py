"""Builds the profile: 2-D convolutions in groups by input size, all else named and counted."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aimatrix import ops
from aimatrix.analysis.blocks import find_blocks
from aimatrix.analysis.grouping import find_centers, nearest_center
from aimatrix.errors import InputError
from aimatrix.model.artefact import sides
from aimatrix.model.block import Block
from aimatrix.model.calls import Cost, OpCall
from aimatrix.model.operators import block_operators
from aimatrix.model.profile import (
    BlockCount,
    Coverage,
    Filter,
    Group,
    OperatorCount,
    OtherWork,
    Profile,
    UnknownOperator,
)
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.ops import convolution


@dataclass(frozen=True, slots=True)
class Work:
    """Equal calls of the log: how many, what one costs, what of it was measured.

    measured_warps: of all the calls together; None where no GPU was watched.
    """

    call: OpCall
    name: str
    calls: int
    cost: Cost
    measured_warps: int | None = None

    @property
    def macs(self) -> int:
        """MACs of all the calls; 0 where they are not known (`Coverage` says for how many)."""
        return (self.cost.macs or 0) * self.calls

    @property
    def bytes(self) -> int:
        """Bytes read and written by all the calls."""
        return self.cost.bytes * self.calls


def build_profile(
    records: Sequence[WorkloadRecord],
    pairs: Sequence[PairRecord] = (),
    *,
    centers: Sequence[int] | None = None,
    split_groups: bool = False,
) -> Profile:
    """The profile of ``records``, with blocks as far as ``pairs`` tell who feeds whom.

    ``centers`` fixes the sizes (elements along one side) that groups form around; without, they
    are found in the data. ``split_groups`` counts a grouped convolution as its groups.
    Raises InputError when there is no record, or a centre is not positive.
    """
    if not records:
        raise InputError("there is nothing to analyze: the selection holds no record")
    work = [_work(record) for record in records]
    grouped = [item for item in work if is_grouped(item.call)]
    if split_groups:
        grouped = [_split(item) for item in grouped]
    outside = [item for item in work if not is_grouped(item.call)]
    return Profile.create(
        since=min(record.window_start for record in records),
        until=max(
            record.window_start + timedelta(seconds=record.window_seconds) for record in records
        ),
        applications=len({record.app for record in records}),
        hosts=len({record.host for record in records}),
        calls=sum(record.calls for record in records),
        dtype=_heaviest_dtype(grouped),
        split_groups=split_groups,
        groups=_groups(grouped, centers),
        other=_other(outside),
        unknown=_unknown(outside),
        coverage=_coverage(work, sum(record.estimated_calls for record in records)),
        operators=_operators(work),
        blocks=_blocks(records, pairs),
    )


def is_grouped(call: OpCall) -> bool:
    """Whether a call belongs into a group: for now, forward 2-D convolutions do."""
    return call.family == "convolution" and call.kind == "conv2d" and call.phase == "forward"


def _work(record: WorkloadRecord) -> Work:
    measured = None if record.warps is None else record.warps * record.calls
    return Work(record.call, record.name, record.calls, ops.cost(record.call), measured)


def _split(work: Work) -> Work:
    """A grouped convolution as its groups; measured warps are of the whole and stay as they are."""
    call, groups = convolution.split_groups(work.call)
    return Work(call, work.name, work.calls * groups, ops.cost(call), work.measured_warps)


def _heaviest_dtype(work: Iterable[Work]) -> str:
    macs: Counter[str] = Counter()
    for item in work:
        macs[item.call.dtype] += item.macs
    return max(sorted(macs), key=lambda dtype: macs[dtype], default="float32")


def _size(work: Work) -> float:
    size = ops.input_size(work.call)
    if size is None:
        raise InputError(f"a {work.call.kind} has no size to group it by")
    return size


def _groups(work: Sequence[Work], centers: Sequence[int] | None) -> tuple[Group, ...]:
    if centers is None:
        weights: defaultdict[float, float] = defaultdict(float)
        for item in work:
            weights[_size(item)] += item.macs
        centers = find_centers(weights)
    elif not centers or min(centers) < 1:
        raise InputError("centers must be sizes of at least 1, such as 224,112,56")
    members: defaultdict[int, list[Work]] = defaultdict(list)
    for item in work:
        members[nearest_center(_size(item), centers)].append(item)
    return tuple(_group(center, members[center]) for center in sorted(members, reverse=True))


def _group(center: int, work: Sequence[Work]) -> Group:
    macs = sum(item.macs for item in work)
    by_size: Counter[tuple[int, int]] = Counter()
    for item in work:
        by_size[item.call["input_size"]] += item.macs
    warps, measured = _warps(work)
    return Group(
        name=f"conv2d-{center}",
        center=center,
        input_size=max(sorted(by_size), key=lambda size: by_size[size]),
        batch=sum(item.call["batch"] * item.macs for item in work) / macs,
        calls=sum(item.calls for item in work),
        filters=_filters(work),
        macs=macs,
        bytes=sum(item.bytes for item in work),
        parameters=sum(item.cost.parameters * item.calls for item in work),
        warps=warps,
        warps_kind="measured" if measured else "derived",
    )


def _warps(work: Sequence[Work]) -> tuple[int, bool]:
    """(warps, whether measured): measured where every member is, else derived; never a mixture."""
    measured = [item.measured_warps for item in work if item.measured_warps is not None]
    if len(measured) == len(work):
        return sum(measured), True
    return sum((item.cost.warps or 0) * item.calls for item in work), False


def _filters(work: Sequence[Work]) -> tuple[Filter, ...]:
    """The distinct filters, large ones first."""
    calls: Counter[tuple[tuple[int, ...], tuple[int, ...], bool]] = Counter()
    paddings: defaultdict[object, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for item in work:
        key = (item.call["kernel_size"], item.call["stride"], convolution.is_depthwise(item.call))
        calls[key] += item.calls
        paddings[key][_undilated_padding(item.call)] += item.calls
    return tuple(
        Filter(
            kernel_size=sides(kernel_size),
            stride=sides(stride),
            depthwise=depthwise,
            padding=sides(_most_common(paddings[kernel_size, stride, depthwise])),
            count=calls[kernel_size, stride, depthwise],
        )
        for kernel_size, stride, depthwise in sorted(calls, reverse=True)
    )


def _undilated_padding(call: OpCall) -> tuple[int, ...]:
    """The padding with which the kernel, not dilated, gives as many outputs."""
    sides = zip(call["padding"], call["kernel_size"], call["dilation"], strict=True)
    return tuple(
        max(0, pad - (dilation - 1) * (kernel - 1) // 2) for pad, kernel, dilation in sides
    )


def _most_common(counts: Counter[tuple[int, ...]]) -> tuple[int, ...]:
    return max(sorted(counts), key=lambda key: counts[key])


def _other(work: Sequence[Work]) -> tuple[OtherWork, ...]:
    families: defaultdict[str, list[Work]] = defaultdict(list)
    for item in work:
        families[item.call.family].append(item)
    rows = [
        OtherWork(
            family=family,
            kinds=tuple(sorted({item.call.kind for item in items})),
            calls=sum(item.calls for item in items),
            macs=None if any(item.cost.macs is None for item in items) else _sum_macs(items),
            bytes=sum(item.bytes for item in items),
        )
        for family, items in families.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.macs or 0), -row.bytes, row.family)))


def _sum_calls(work: Iterable[Work]) -> int:
    return sum(item.calls for item in work)


def _sum_macs(work: Iterable[Work]) -> int:
    return sum(item.macs for item in work)


def _sum_bytes(work: Iterable[Work]) -> int:
    return sum(item.bytes for item in work)


def _unknown(work: Sequence[Work]) -> tuple[UnknownOperator, ...]:
    calls: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for item in work:
        if item.call.family == "unknown":
            calls[item.name] += item.calls
            sizes[item.name] += item.bytes
    return tuple(
        UnknownOperator(name=name, calls=calls[name], bytes=sizes[name])
        for name in sorted(calls, key=lambda name: (-calls[name], name))
    )


def _operators(work: Sequence[Work]) -> tuple[OperatorCount, ...]:
    """The known operators with their counts over all devices, in an order that any log gives."""
    calls: Counter[tuple[str, str, str, str, str]] = Counter()
    attributes: dict[tuple[str, str, str, str, str], dict[str, Any]] = {}
    for item in work:
        call = item.call
        if call.family != "unknown":
            key = call.spelling
            calls[key] += item.calls
            attributes[key] = json.loads(key[2])
    return tuple(
        OperatorCount(
            family=key[0],
            kind=key[1],
            attributes=attributes[key],
            dtype=key[3],
            phase=key[4],
            calls=calls[key],
        )
        for key in sorted(calls)
    )


def _blocks(
    records: Sequence[WorkloadRecord], pairs: Sequence[PairRecord]
) -> tuple[BlockCount, ...]:
    """The known operators as blocks, found in each application apart, in an order that any log
    gives.
    """
    operators: defaultdict[str, Counter[OpCall]] = defaultdict(Counter)
    feeding: defaultdict[str, Counter[tuple[OpCall, OpCall]]] = defaultdict(Counter)
    for record in records:
        if record.call.family != "unknown":
            operators[record.app][record.call.anywhere] += record.calls
    for pair in pairs:
        feeding[pair.app][pair.producer.anywhere, pair.consumer.anywhere] += pair.calls
    found: Counter[Block] = Counter()
    for app, counts in operators.items():
        found.update(find_blocks(counts, feeding[app]))
    rows = [BlockCount(operators=block_operators(each), calls=found[each]) for each in found]
    return tuple(sorted(rows, key=lambda row: row.model_dump_json()))


def _coverage(work: Sequence[Work], estimated_calls: int) -> Coverage:
    inside = [item for item in work if is_grouped(item.call)]
    known = [item for item in work if item.call.family != "unknown"]
    calls, sizes = _sum_calls(work), _sum_bytes(work)

    def share(part: int, whole: int) -> float:
        return part / whole if whole else 0.0

    return Coverage(
        calls=share(_sum_calls(inside), calls),
        macs=share(_sum_macs(inside), _sum_macs(work)),
        bytes=share(_sum_bytes(inside), sizes),
        calls_without_macs=sum(item.calls for item in work if item.cost.macs is None),
        estimated_calls=estimated_calls,
        known_calls=share(_sum_calls(known), calls),
        known_bytes=share(_sum_bytes(known), sizes),
    )
