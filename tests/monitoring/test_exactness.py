"""Real architectures under the monitor: its counts are those of a recount, its MACs the analytic
ones, and the outputs the same to the bit.

A recount runs in a process of its own, with means that have nothing to do with the monitor; see
``architectures/run_models.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.dialects.raw import RawCall, TensorArg, from_json
from aimatrix.monitoring.agent.activation import CAPTURES

pytest.importorskip("torch")

PROGRAM = str(Path(__file__).parent / "architectures" / "run_models.py")
#: module of architectures -> the package that it needs
GROUPS = {"own_models": "torch", "keras_models": "keras", "transformers_models": "transformers"}

Counts = Counter[str]

#: ``torch.tensor`` of Python's data calls both, once each, and shows neither to a dispatch mode
_HIDDEN = ("aten::empty.memory_format ", "aten::to.device ")
#: a view that comes with the recount's own mode (``x.data``), or is hidden from it (``Parameter``)
_UNCOUNTED = "aten::detach"


@dataclass
class Recount:
    """What one architecture calls, when it is made and when it runs, and its multiply-adds."""

    making: list[tuple[RawCall, int]]
    running: list[tuple[RawCall, int]]
    macs: int


@pytest.fixture(scope="session")
def recounts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Recount]]:
    """The recount of a group, made once, by whichever of the test workers needs it first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the one that all workers share

    def recount(group: str) -> dict[str, Recount]:
        if find_spec(GROUPS[group]) is None:
            pytest.skip(f"needs {GROUPS[group]}")
        path = folder / f"recount-{group}.json"
        with (folder / f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                command = [sys.executable, PROGRAM, group, "--recount", str(path)]
                subprocess.run(command, check=True, capture_output=True)
        return {
            name: Recount(_raw(found["making"]), _raw(found["running"]), found["macs"])
            for name, found in json.loads(path.read_text()).items()
        }

    return recount


@pytest.mark.parametrize("group", GROUPS)
def test_counts_are_those_of_a_recount_and_outputs_the_same_to_the_bit(
    watch, recounts, group: str
) -> None:
    expected = _all_counts(recounts(group))
    plain = subprocess.run([sys.executable, PROGRAM, group], capture_output=True, text=True)
    assert plain.returncode == 0
    for capture in CAPTURES:
        outcome = watch(
            command=[sys.executable, PROGRAM, group], capture=capture, attributes=ATTRIBUTES
        )
        assert outcome.stdout == plain.stdout, capture
        assert outcome.stderr == plain.stderr, capture
        assert outcome.returncode == 0
        found = _counts((count.raw, count.calls) for count in outcome.counts)
        assert _difference(found, expected) == {}, capture


@pytest.mark.parametrize("group", GROUPS)
def test_macs_are_the_analytic_ones(recounts, group: str) -> None:
    wrong = {}
    for name, recount in recounts(group).items():
        macs = sum(calls * (ops.cost(translate(raw)).macs or 0) for raw, calls in recount.running)
        if macs != recount.macs:
            wrong[name] = (macs, recount.macs)
    assert wrong == {}


def test_counts_add_up_over_threads_and_processes(watch, recounts) -> None:
    once = _all_counts(recounts("own_models"))
    expected = Counter({key: 6 * calls for key, calls in once.items()})
    for capture in CAPTURES:
        outcome = watch(
            f"""
            import subprocess, sys
            command = [sys.executable, {PROGRAM!r}, "own_models", "--threads", "3"]
            for child in [subprocess.Popen(command) for _ in range(2)]:
                assert child.wait() == 0
            """,
            capture=capture,
            attributes=ATTRIBUTES,
        )
        assert (outcome.stdout, outcome.stderr) == ("ran 3\nran 3\n", ""), capture
        found = _counts((count.raw, count.calls) for count in outcome.counts)
        assert _difference(found, expected) == {}, capture


def _all_counts(recounts: Mapping[str, Recount]) -> Counts:
    return _counts(item for each in recounts.values() for item in each.making + each.running)


def _raw(counted: list[list[Any]]) -> list[tuple[RawCall, int]]:
    return [(from_json(json.dumps(call)), calls) for call, calls in counted]


def _counts(counted: Iterable[tuple[RawCall, int]]) -> Counts:
    found: Counts = Counter()
    for raw, calls in counted:
        if raw.name != _UNCOUNTED:
            found[_signature(raw)] += calls
    return found


def _signature(raw: RawCall) -> str:
    """A call in one line: its tensors, and those of its other arguments that are to be kept."""
    kept = ATTRIBUTES.get(raw.name, ())
    arguments = {
        name: value for name, value in raw.arguments.items() if _holds_tensor(value) or name in kept
    }
    return f"{raw.name}.{raw.overload} {_spelled(arguments)}"


def _holds_tensor(value: Any) -> bool:
    # one of no dimension may be a number, which one side takes for a tensor and the other does not
    if isinstance(value, TensorArg):
        return value.shape != ()
    return isinstance(value, tuple) and any(isinstance(item, TensorArg) for item in value)


def _spelled(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in sorted(arguments.items()))


def _value(value: Any) -> str:
    if isinstance(value, TensorArg):
        return f"{value.dtype}{list(value.shape)}{value.device}"
    if isinstance(value, tuple):
        return f"({' '.join(map(_value, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _difference(found: Counts, expected: Counts) -> dict[str, tuple[int, int]]:
    """Signature -> (found, expected), where they are not equal."""
    keys = found.keys() | expected.keys()
    different = {key: (found[key], expected[key]) for key in keys if found[key] != expected[key]}
    hidden = [key for key in different if key.startswith(_HIDDEN) and found[key] > expected[key]]
    made, moved = (sum(found[k] - expected[k] for k in hidden if k.startswith(n)) for n in _HIDDEN)
    return different if made != moved else {k: different[k] for k in different.keys() - hidden}
