"""What torch's own traces tell of a run is what the monitor counts in the same run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from aimatrix import ops
from aimatrix.api import monitor
from aimatrix.dialects import aten
from aimatrix.importers import execution_trace, kineto
from aimatrix.importers.imported import Imported
from aimatrix.model.calls import OpCall
from aimatrix.store.workload import WorkloadStore

PROGRAMS = str(Path(__file__).parent / "traced_programs.py")

GROUPS = {
    "convolutions": ["cnn_inference", "cnn_training", "cnn_training_foreach", "cnn_training_fused"],
    "training": ["sgd_with_momentum", "autocast", "lstm", "embedding_bag", "attention"],
    "operators": ["fourier", "resampling", "reductions", "scattering", "indexing"],
    "recovered": ["contractions", "long_lists"],
    "transformers": ["bert", "gpt2"],
}
READERS: dict[str, Callable[[Path], Imported]] = {
    "et": lambda path: execution_trace.read(path, aten.ATTRIBUTES),
    "kineto": lambda path: kineto.read_calls(path, aten.ATTRIBUTES),
}


def traced(folder: Path, names: list[str], kind: str) -> Counter[OpCall]:
    """The calls in the traces of some programs together; all of them read without a remark."""
    counts: Counter[OpCall] = Counter()
    for name in names:
        imported = READERS[kind](folder / f"{name}.{kind}.json")
        assert (imported.warnings, imported.odd) == ([], 0), name
        for call in imported.calls:
            counts[aten.translate(call.raw)] += call.calls
    return counts


def monitored(folder: Path, names: list[str]) -> Counter[OpCall]:
    """The calls that the monitor counts while the programs record themselves."""
    command = [sys.executable, "-W", "ignore", PROGRAMS, str(folder), *names]
    assert monitor(command, store=folder / "store", budget=0) == 0
    counts: Counter[OpCall] = Counter()
    for record in WorkloadStore(folder / "store").totals():
        counts[record.call] += record.calls
    return counts


def macs(counts: Counter[OpCall]) -> int:
    return sum((ops.cost(call).macs or 0) * calls for call, calls in counts.items())


@pytest.mark.parametrize("group", GROUPS)
def test_traces_tell_the_calls_that_the_monitor_counts(group: str, tmp_path: Path) -> None:
    if group == "transformers":
        pytest.importorskip("transformers")
    names = GROUPS[group]
    counted = monitored(tmp_path, names)
    for kind in READERS:
        found = traced(tmp_path, names, kind)
        assert (found - counted, counted - found) == (Counter(), Counter()), kind
        assert macs(found) == macs(counted)
    assert macs(counted) > 0


def test_layers_whose_weights_are_packed_are_unknown_in_traces_by_name(tmp_path: Path) -> None:
    """The monitor asks the object with the weights; a trace tells nothing of it."""
    counted = monitored(tmp_path, ["quantized"])
    layers = Counter({call: n for call, n in counted.items() if call.family == "matmul"})
    assert macs(layers) == 3 * (16 * 32 + 32 * 4)
    for kind in READERS:
        found = traced(tmp_path, ["quantized"], kind)
        assert counted - found == layers, kind
        unknown = Counter((call.family, call.kind) for call in found - counted)
        assert unknown == {("unknown", "quantized::linear_dynamic"): 2}


def record(folder: Path, *names: str) -> None:
    command = [sys.executable, "-W", "ignore", PROGRAMS, str(folder), *names]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("kind", READERS)
def test_a_recording_of_some_steps_tells_those_steps(kind: str, tmp_path: Path) -> None:
    record(tmp_path, "one_step_midway", "three_steps_midway")
    one = traced(tmp_path, ["one_step_midway"], kind)
    three = traced(tmp_path, ["three_steps_midway"], kind)
    assert three == Counter({call: 3 * calls for call, calls in one.items()})
    phases = {(call.family, call.phase) for call in one}
    assert ("matmul", "forward") in phases
    assert ("matmul", "backward") in phases
    assert ("elementwise", "optimizer") in phases


def test_marks_and_operators_without_data_are_no_calls(tmp_path: Path) -> None:
    record(tmp_path, "custom_operator")
    found = READERS["et"](tmp_path / "custom_operator.et.json")
    names: Counter[str] = Counter()
    for call in found.calls:
        names[call.raw.name] += call.calls
    assert names == {"tracedprograms::twice": 1, "aten::randn": 2, "aten::relu": 1}
    (custom,) = (call.raw for call in found.calls if call.raw.name == "tracedprograms::twice")
    assert custom.arguments["x"].shape == (3, 4)


def test_what_follows_an_operator_that_raised_is_in_its_place(tmp_path: Path) -> None:
    """A checkpoint ends its second forward pass by raising inside of an operator."""
    record(tmp_path, "checkpointed")
    found = READERS["et"](tmp_path / "checkpointed.et.json")
    phases = {(call.raw.name, call.raw.phase): call.calls for call in found.calls}
    assert phases["aten::native_layer_norm_backward", "backward"] == 1
    assert phases["aten::relu", "forward"] == 1
    assert ("aten::relu", "backward") not in phases
    assert any("not in the trace" in warning for warning in found.warnings)
