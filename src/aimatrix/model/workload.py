"""Rows of the workload log: how often an application made an operator call in a time window.

And in how many of them it took what another call had written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aimatrix.model.calls import OpCall


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """Signature x application x host x time window -> calls.

    name: the operator as its framework spells it (``aten::convolution``). window_start: UTC.
    estimated_calls: how many of ``calls`` are an estimate from sampling.
    warps: *measured* warps of one call, None where only derived ones can be had.
    time_ns: measured time of all the calls together, None where it was not measured.
    """

    call: OpCall
    name: str
    app: str
    host: str
    window_start: datetime
    window_seconds: float
    calls: int
    estimated_calls: int = 0
    source: str = "torch"
    time_ns: int | None = None
    warps: int | None = None


@dataclass(frozen=True, slots=True)
class PairRecord:
    """Producer x consumer x application x host x time window -> calls.

    calls: those of the consumer that took at least one tensor which a call of the producer wrote
    last; an estimate where not every call was looked at. window_start: UTC.
    """

    producer: OpCall
    consumer: OpCall
    app: str
    host: str
    window_start: datetime
    window_seconds: float
    calls: int
    source: str = "torch"
