"""Fidelity of a mix on one platform, on the null backend: which times make which error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aimatrix.backends import Pass
from aimatrix.backends.null import Null
from aimatrix.errors import UnsupportedError
from aimatrix.model.calls import OpCall
from aimatrix.model.recording import Recording
from aimatrix.model.result import Platform
from aimatrix.validation import Application, Suite
from aimatrix.validation.attribution import attribute
from aimatrix.validation.measure_mix import measure_mix
from mix_builders import gelu, linear, make_mix, make_mix_stage

NULL = Platform(backend="null")
MIX = make_mix(
    make_mix_stage("large", linear(128, 768, 768), multiplicity=4.0),
    make_mix_stage("small", linear(16, 96, 96), repeats=4, multiplicity=2.0),
    make_mix_stage("gelu", gelu(128, 768), multiplicity=3.0),
)


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


def test_an_operator_belongs_to_the_nearest_stage_of_its_kind() -> None:
    assert attribute([linear(128, 768, 768)] * 3, MIX) == pytest.approx([3.0, 0.0, 0.0])
    assert attribute([linear(16, 96, 96)] * 8, MIX) == pytest.approx([0.0, 2.0, 0.0])
    large, small, _ = attribute([linear(100, 800, 700)], MIX)
    assert 0.5 < large < 1.5
    assert small == 0


def test_an_operator_of_no_kind_that_there_is_belongs_nowhere() -> None:
    softmax = {"input": (3, 4), "dims": (1,), "keepdim": False}
    unknown = OpCall.create("unknown", "aten::new", {"inputs": ()})
    others = [OpCall.create("reduction", "softmax", softmax), unknown]
    assert attribute(others, MIX) == [0.0, 0.0, 0.0]


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


def test_nothing_is_compared_where_nothing_runs(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Pass:
        raise UnsupportedError("not today")

    monkeypatch.setattr(Null, "prepare_application", refuse)
    fidelity = measure_mix(MIX, suite, NULL, time_limit=0.1, record=record)
    assert not fidelity.compared
    assert len(fidelity.left_out) == 2
