"""Tries a library in a child process before any application loads it, and measures its cost.

The child runs `known_program` in the application's own Python. Whatever goes wrong there (a crash,
a hang, a wrong count) is a reason not to use the library, and nothing worse.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from aimatrix.monitoring.agent.spool import COUNTS
from aimatrix.monitoring.native import known_program
from aimatrix.monitoring.native.cache import BuildError
from aimatrix.monitoring.processes import Ended, run
from aimatrix.monitoring.spool_reader import Delta, SpoolReader

#: seconds that the child may take; importing torch is most of it
PATIENCE = 120.0
#: bounds of the cost of an event that are believed; a busy machine may measure anything
_EVENT_NS = (50.0, 2000.0)


def check_library(
    interpreter: str, library: Path, work: Path, environment: Mapping[str, str]
) -> float:
    """What the library adds to each event of torch's RecordFunction, in nanoseconds.

    work: an existing folder for what it counts. Raises BuildError when it may not be used.
    """
    spool = work / "spool"
    spool.mkdir()
    words = [interpreter, known_program.__file__, str(library), str(spool)]
    try:
        ended = run(words, environment=environment, timeout=PATIENCE)
    except OSError as error:
        raise BuildError(f"{interpreter}: cannot be started: {error.strerror}") from error
    _check_end(ended)
    _check_counts(spool)
    low, high = _EVENT_NS
    return min(max(_event_ns(ended), low), high)


def _check_end(ended: Ended) -> None:
    if ended.code is None:
        raise BuildError(f"its self-test had not ended after {PATIENCE:.0f} s")
    if ended.code < 0:
        names = {item.value: item.name for item in signal.Signals}
        name = names.get(-ended.code, f"signal {-ended.code}")
        raise BuildError(f"its self-test was ended by {name}")
    if ended.code > 0:
        raise BuildError(f"its self-test failed: {ended.last_words or f'exit code {ended.code}'}")


def _check_counts(spool: Path) -> None:
    processes = len(list(spool.glob(f"*{COUNTS}")))
    if processes != known_program.PROCESSES:
        raise BuildError(
            f"its self-test counted in {processes} processes instead of {known_program.PROCESSES}"
        )
    found: Counter[tuple[str, str]] = Counter()
    names = {name for name, _ in known_program.EXPECTED}
    for delta in _read(spool):
        if delta.raw.name in names:
            found[delta.raw.name, delta.raw.phase] += delta.calls
        if delta.raw.name == "aten::conv2d":
            _check_arguments(delta.raw.arguments)
    # sorted, so that the same fault gives the same reason
    for name, phase in sorted({*found, *known_program.EXPECTED}):
        calls = known_program.EXPECTED.get((name, phase), 0)
        if found[name, phase] != calls:
            raise BuildError(
                f"its self-test counted {found[name, phase]} calls of {name} ({phase})"
                f" instead of {calls}"
            )


def _read(spool: Path) -> list[Delta]:
    try:
        return SpoolReader(spool).read()
    except Exception as error:  # of a faulty library, it may hold anything
        raise BuildError(f"what its self-test has counted cannot be read: {error}") from error


def _check_arguments(arguments: Mapping[str, object]) -> None:
    for name, value in known_program.CONV2D.items():
        expected = tuple(value) if isinstance(value, list) else value
        if arguments.get(name) != expected:
            raise BuildError(
                f"its self-test described aten::conv2d with {name} {arguments.get(name)}"
                f" instead of {expected}"
            )


def _event_ns(ended: Ended) -> float:
    try:
        return float(json.loads(ended.out.strip().splitlines()[-1])["event_ns"])
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise BuildError("its self-test did not say what an event costs") from error
