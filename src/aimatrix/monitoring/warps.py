"""The measured warps of a run: what its windows under torch's profiler tell of each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median_low
from typing import Protocol

from aimatrix.dialects.raw import RawCall
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.trace_files import SCHEMAS, TRACE


class Launched(Protocol):
    """Equal calls in a trace; ``warps`` of one of them, None where it launched no kernel."""

    @property
    def raw(self) -> RawCall:
        """The call, as PyTorch spells it."""

    @property
    def calls(self) -> int:
        """How many."""

    @property
    def warps(self) -> int | None:
        """What one call launched."""

    @property
    def outermost(self) -> bool:
        """Whether no other operator made it."""


#: (trace, schemas of its operators) -> what it tells; InputError for a trace that is not whole
ReadTrace = Callable[[Path, Path], Iterable[Launched]]


class MeasuredWarps:
    """Warps of canonical calls, from the traces that a run's processes put into its spool.

    What torch measured for an operator inside others counts where the same call was never an
    outermost one: a capture in Python counts those.
    """

    def __init__(
        self, spool: Path, read: ReadTrace, translate: Callable[[RawCall], OpCall]
    ) -> None:
        self._spool = spool
        self._read = read
        self._translate = translate
        self._outermost: dict[OpCall, Counter[int]] = {}
        self._inside: dict[OpCall, Counter[int]] = {}

    def collect(self) -> None:
        """Take in the traces that have come since; a bad one is told in one line. Raises nothing.

        A trace is removed once it has been read: it holds names that the application gave.
        """
        for trace in sorted(self._spool.glob(f"*{TRACE}")):
            schemas = trace.with_name(trace.name.removesuffix(TRACE) + SCHEMAS)
            try:
                self._add(self._read(trace, schemas))
            except (InputError, OSError) as error:
                notice(f"a window of measured warps is lost: {error}")
            with suppress(OSError):
                trace.unlink()
                schemas.unlink()

    def of(self, call: OpCall) -> int | None:
        """Warps of one such call: the median of those measured; None before there is any.

        The median, since the first call of a new shape may try several algorithms.
        """
        seen = self._outermost.get(call) or self._inside.get(call)
        return median_low(seen.elements()) if seen else None

    def _add(self, calls: Iterable[Launched]) -> None:
        for each in calls:
            if each.warps is not None:
                kept = self._outermost if each.outermost else self._inside
                kept.setdefault(self._translate(each.raw), Counter())[each.warps] += each.calls
