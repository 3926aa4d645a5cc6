"""Fidelity of a mix on one platform, on the null backend: which times make which error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aimatrix.backends import Pass, onnx_export
from aimatrix.backends.null import Null
from aimatrix.errors import UnsupportedError
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.model.recording import Recording
from aimatrix.model.result import Platform
from aimatrix.ops.blocks import single
from aimatrix.validation import Application, StandIn, Suite
from aimatrix.validation.attribution import attribute
from aimatrix.validation.measure_mix import LEAST_ROUNDS, measure_mix, measure_mixes
from mix_builders import gelu, linear, make_mix, make_mix_stage

NULL = Platform(backend="null")
MIX = make_mix(
    make_mix_stage("large", linear(128, 768, 768), multiplicity=4.0),
    make_mix_stage("small", linear(16, 96, 96), repeats=4, multiplicity=2.0),
    make_mix_stage("gelu", gelu(128, 768), multiplicity=3.0),
)


def embedding(indices: int) -> OpCall:
    attributes = {"rows": 1000, "width": 64, "indices": indices, "outputs": indices}
    return OpCall.create("embedding", "embedding", {**attributes, "weighted": False})


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    module = tmp_path / "mix_apps.py"
    module.write_text(
        "def small():\n    return max, (1, 2)\ndef large():\n    return min, (1, 2)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Suite(
        source=str(tmp_path / "suite.toml"),
        applications=(
            Application(name="small", entry="mix_apps:small", kind="tiny"),
            Application(name="large", entry="mix_apps:large", weight=3.0, kind="huge"),
        ),
    )


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> Recording:
    if function is max:
        return Recording([linear(16, 96, 96)] * 8)
    return Recording([linear(128, 768, 768), gelu(128, 768), gelu(128, 768)])


def test_a_block_belongs_to_the_nearest_stage_of_its_kind() -> None:
    assert attribute({single(linear(128, 768, 768)): 3}, MIX) == pytest.approx([3.0, 0.0, 0.0])
    assert attribute({single(linear(16, 96, 96)): 8}, MIX) == pytest.approx([0.0, 2.0, 0.0])
    large, small, _ = attribute({single(linear(100, 800, 700)): 1}, MIX)
    assert 0.5 < large < 1.5
    assert small == 0


def test_a_block_of_no_kind_that_there_is_belongs_nowhere() -> None:
    assert attribute({single(embedding(8)): 2}, MIX) == [0.0, 0.0, 0.0]


def test_of_another_structure_a_block_belongs_to_what_its_first_operator_is_like() -> None:
    followed = Block((linear(128, 768, 768), gelu(128, 768)), ((None, None, None), (0,)))
    large, small, other = attribute({followed: 1}, MIX)
    assert 1 < large < 2
    assert small == other == 0


def test_a_stage_of_other_structure_is_more_like_it_than_one_with_far_fewer_rows() -> None:
    # few rows are limited by the way to memory, on some machines; many rows are not
    many = make_mix_stage("many rows", linear(256, 1280, 896))
    few = make_mix_stage("few rows", linear(48, 384, 3072), gelu(48, 384))
    followed = Block((linear(256, 768, 3072), gelu(256, 768)), few.block.sources)
    executions = attribute({followed: 3}, make_mix(few, many))
    assert executions[0] == 0
    assert executions[1] * many.macs == pytest.approx(3 * 256 * 768 * 3072, rel=0.15)


def test_what_no_stage_is_like_is_taken_to_be_like_the_rest() -> None:
    known = {single(linear(128, 768, 768)): 3}
    more = attribute({**known, single(embedding(800)): 50}, MIX)
    assert more[0] > attribute(known, MIX)[0]


def test_on_an_accelerator_little_work_takes_hardly_less_time_than_much() -> None:
    half = {single(linear(64, 768, 768)): 1}
    assert attribute(half, MIX, "cuda")[0] > attribute(half, MIX)[0]


def test_errors_are_predicted_over_real_time(suite: Suite) -> None:
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=record)
    stages = Null().prepare_mix(MIX, NULL).run()
    small, large = 2 * stages[1], stages[0] + 2 * stages[2]
    # the null backend's applications take a millisecond each; the weights are 1 and 3
    assert fidelity.whole is not None
    assert fidelity.whole.real.median == pytest.approx(4e-3)
    assert fidelity.whole.predicted_seconds == pytest.approx(small + 3 * large)
    assert fidelity.whole.error == pytest.approx((small + 3 * large) / 4e-3 - 1)
    assert fidelity.whole.synthetic.median == pytest.approx(sum(stages))
    assert [(row.name, row.predicted_seconds) for row in fidelity.classes] == [
        ("tiny", pytest.approx(small)),
        ("huge", pytest.approx(3 * large)),
    ]
    assert fidelity.whole.predicted is not None
    rounds = len(fidelity.whole.real.samples)
    assert fidelity.whole.predicted.samples == pytest.approx([small + 3 * large] * rounds)
    predicted = {item.name: item.predicted_seconds for item in fidelity.applications}
    assert predicted == {"small": pytest.approx(small), "large": pytest.approx(large)}


def test_an_application_that_does_not_run_is_left_out_of_both_sides(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(self: Null, function: Callable[..., Any], *_: object) -> Pass:
        if function is min:
            raise UnsupportedError("too large")
        return prepared(self, function, (), NULL)

    prepared = Null.prepare_application
    monkeypatch.setattr(Null, "prepare_application", prepare)
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=record)
    assert [(item.name, item.reason) for item in fidelity.left_out] == [("large", "too large")]
    stages = Null().prepare_mix(MIX, NULL).run()
    assert fidelity.whole is not None
    assert fidelity.whole.real.median == pytest.approx(1e-3)
    assert fidelity.whole.predicted_seconds == pytest.approx(2 * stages[1])
    assert [row.name for row in fidelity.classes] == ["tiny"]


def test_an_application_that_needs_a_stage_that_is_not_run_is_left_out(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare_mix(self: Null, *arguments: Any) -> Pass:
        prepared = prepare(self, *arguments)
        prepared.missing = frozenset({2})
        return prepared

    prepare = Null.prepare_mix
    monkeypatch.setattr(Null, "prepare_mix", prepare_mix)
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=record)
    assert [item.name for item in fidelity.left_out] == ["large"]
    assert "'gelu'" in fidelity.left_out[0].reason
    assert [item.name for item in fidelity.applications] == ["small"]
    assert fidelity.whole is not None
    assert fidelity.whole.real.median == pytest.approx(1e-3)


def test_nothing_is_compared_where_nothing_runs(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Pass:
        raise UnsupportedError("not today")

    monkeypatch.setattr(Null, "prepare_application", refuse)
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=record)
    assert not fidelity.compared
    assert len(fidelity.left_out) == 2


def test_benchmarks_share_the_times_of_the_applications(suite: Suite) -> None:
    runs: list[str] = []

    class Counted(Null):
        """Says which of its passes run."""

        def prepare_application(self, function: Callable[..., Any], *_: object) -> Pass:
            return _noted(super().prepare_application(function, (), NULL), function.__name__, runs)

        def prepare_mix(self, benchmark: Any, platform: Platform) -> Pass:
            return _noted(super().prepare_mix(benchmark, platform), "benchmark", runs)

    both = [StandIn(benchmark=MIX), StandIn(benchmark=MIX, applications=("small",))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aimatrix.backends.get", lambda name: Counted())
        whole, alone = measure_mixes(both, suite, NULL, time_limit=1e-9, record=record)
    assert runs[:4] == ["max", "min", "benchmark", "benchmark"]
    assert {name: runs.count(name) for name in set(runs)} == {
        "max": LEAST_ROUNDS,
        "min": LEAST_ROUNDS,
        "benchmark": 2 * LEAST_ROUNDS,
    }
    assert [item.name for item in whole.applications] == ["small", "large"]
    # a benchmark of one application is held against it alone
    assert [item.name for item in alone.applications] == ["small"]
    assert [row.name for row in alone.classes] == ["tiny"]
    assert alone.applications == whole.applications[:1]
    assert alone.whole is not None
    assert alone.whole.real.median == pytest.approx(1e-3)


def _noted(prepared: Pass, name: str, runs: list[str]) -> Pass:
    class Noted(Pass):
        def run(self) -> list[float]:
            runs.append(name)
            return prepared.run()

        def outputs(self) -> list[Any]:
            return []

    return Noted()


def test_what_was_exported_for_one_process_serves_the_next(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def prepare(self: Null, *_: Any) -> Pass:
        folders.append(onnx_export.kept())
        return original(self, *_)

    original = Null.prepare_application
    monkeypatch.setattr(Null, "prepare_application", prepare)
    mix = make_mix(make_mix_stage("linear", linear(8, 64, 64)))
    for exports in (tmp_path, tmp_path, None):
        measure_mixes(
            [StandIn(benchmark=mix)],
            suite,
            Platform(backend="null"),
            time_limit=0.0,
            record=record,
            exports=exports,
        )
    count = len(suite.applications)
    first, second, without = folders[:count], folders[count : 2 * count], folders[2 * count :]
    assert first == second
    assert len({*first}) == count
    assert all(folder is not None and folder.parent == tmp_path for folder in first)
    assert without == [None] * count


def test_a_benchmark_that_does_not_run_leaves_the_others_alone(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_mix(make_mix_stage("large", linear(128, 768, 768), multiplicity=4.0))

    def prepare(self: Null, benchmark: Any, platform: Platform) -> Pass:
        if benchmark is other:
            raise UnsupportedError("no such operator")
        return prepared(self, benchmark, platform)

    prepared = Null.prepare_mix
    monkeypatch.setattr(Null, "prepare_mix", prepare)
    both = [StandIn(benchmark=other), StandIn(benchmark=MIX)]
    refused, measured = measure_mixes(both, suite, NULL, time_limit=0.01, record=record)
    assert not refused.compared
    assert [item.reason for item in refused.left_out] == ["no such operator"]
    assert measured.compared


def test_where_no_benchmark_runs_no_application_is_made(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Pass:
        raise UnsupportedError("no mixes")

    def fail(*_: object) -> list[OpCall]:
        raise AssertionError("an application was recorded")

    monkeypatch.setattr(Null, "prepare_mix", refuse)
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=fail)
    assert [item.reason for item in fidelity.left_out] == ["no mixes"]
