"""Fidelity on one platform, on the null backend: which times make which error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aimatrix.backends import Pass
from aimatrix.backends.null import Null
from aimatrix.errors import UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.recording import Recording
from aimatrix.model.result import Platform
from aimatrix.reporting.times import reduction
from aimatrix.validation import Application, Suite, convolutions
from aimatrix.validation.measure import measure_platform

NULL = Platform(backend="null")


def convolution(size: int, out_channels: int, **changes: Any) -> OpCall:
    """1x1, 10 channels in: 10 x out_channels x size**2 MACs, a picosecond each."""
    attributes = {
        "batch": 1,
        "in_channels": 10,
        "out_channels": out_channels,
        "groups": 1,
        "bias": True,
        "input_size": (size, size),
        "kernel_size": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "output_padding": (0, 0),
    }
    return OpCall.create("convolution", "conv2d", {**attributes, **changes})


def relu() -> OpCall:
    return OpCall.create("elementwise", "relu", {"inputs": [(3, 3)]})


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    module = tmp_path / "fidelity_apps.py"
    module.write_text(
        "def small():\n    return max, (1, 2)\ndef large():\n    return min, (1, 2)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Suite(
        source=str(tmp_path / "suite.toml"),
        applications=(
            Application(name="small", entry="fidelity_apps:small"),
            Application(name="large", entry="fidelity_apps:large", weight=3.0),
        ),
    )


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> Recording:
    """Sizes near the centers 33, 16 and 18, 7 of the small benchmark."""
    if function is max:
        return Recording([convolution(30, 4), relu(), convolution(7, 2)])
    return Recording([convolution(14, 6), convolution(200, 1), convolution(18, 1)])


def measured(benchmark: Benchmark, suite: Suite, **changes: Any) -> Any:
    return measure_platform(
        benchmark, suite, NULL, **{"time_limit": 0.1, "record": record, **changes}
    )


def test_errors_are_predicted_over_real_time(small_benchmark: Benchmark, suite: Suite) -> None:
    fidelity = measured(small_benchmark, suite)
    picosecond = 1e-12
    real = {
        "group 1": (10 * 4 * 30**2 + 3 * 10 * 200**2) * picosecond,
        "group 2": 3 * 10 * 6 * 14**2 * picosecond,
        "group 3": 3 * 10 * 18**2 * picosecond,
        "group 4": 10 * 2 * 7**2 * picosecond,
    }
    assert [row.name for row in fidelity.groups] == list(real)
    for row, stage in zip(fidelity.groups, small_benchmark.stages, strict=True):
        predicted = stage.multiplicity * stage.macs * picosecond
        assert row.real.median == pytest.approx(real[row.name])
        assert row.synthetic.median == pytest.approx(stage.macs * picosecond)
        assert row.predicted_seconds == pytest.approx(predicted)
        assert row.error == pytest.approx(predicted / real[row.name] - 1)
    total = sum(stage.multiplicity * stage.macs for stage in small_benchmark.stages) * picosecond
    assert fidelity.convolutions.predicted_seconds == pytest.approx(total)
    assert fidelity.convolutions.error == pytest.approx(total / sum(real.values()) - 1)
    # in a total, too, synthetic is what the benchmark did: each stage once
    one_pass = sum(stage.macs for stage in small_benchmark.stages) * picosecond
    assert [row.multiplicity for row in fidelity.groups] == [2.0, 1.0, 0.5, 1.0]
    for row in (fidelity.convolutions, fidelity.whole):
        assert row.synthetic.median == pytest.approx(one_pass)
        assert row.predicted_seconds == pytest.approx(total)
        assert row.multiplicity is None
    assert reduction(fidelity) == pytest.approx(4e-3 / one_pass)
    # the null backend's applications take a millisecond each; the weights are 1 and 3
    assert fidelity.whole.real.median == pytest.approx(4e-3)
    assert fidelity.whole.error == pytest.approx(total / 4e-3 - 1)
    assert [(a.name, a.weight) for a in fidelity.applications] == [("small", 1.0), ("large", 3.0)]
    assert not fidelity.left_out


def test_only_forward_2d_convolutions_count(small_benchmark: Benchmark, suite: Suite) -> None:
    others = [
        OpCall.create(
            "convolution",
            "conv2d",
            dict(convolution(14, 6).attributes),
            phase="backward",
        ),
        OpCall.create("convolution", "conv_transpose2d", dict(convolution(14, 6).attributes)),
    ]
    plain = measured(small_benchmark, suite)
    more = measured(
        small_benchmark, suite, record=lambda f, i: Recording([*record(f, i).calls, *others])
    )
    assert more.convolutions.real.median == plain.convolutions.real.median


def test_a_group_without_real_work_has_no_error(small_benchmark: Benchmark, suite: Suite) -> None:
    fidelity = measured(small_benchmark, suite, record=lambda *_: Recording([convolution(30, 4)]))
    assert [row.name for row in fidelity.groups] == ["group 1"]
    assert [item.name for item in fidelity.left_out] == ["group 2", "group 3", "group 4"]
    assert fidelity.convolutions is not None


def test_an_application_that_cannot_run_leaves_no_half_comparison(
    small_benchmark: Benchmark, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Null.prepare_application

    def refuse(self: Null, function: Any, inputs: Any, platform: Platform) -> Pass:
        if function is min:
            raise UnsupportedError("it needs a quantum computer")
        return prepare(self, function, inputs, platform)

    monkeypatch.setattr(Null, "prepare_application", refuse)
    fidelity = measured(small_benchmark, suite)
    assert fidelity.whole is None
    assert [application.name for application in fidelity.applications] == ["small"]
    assert [(x.name, x.reason) for x in fidelity.left_out] == [
        ("large", "it needs a quantum computer")
    ]
    # its convolutions were recorded all the same
    assert fidelity.convolutions is not None


def test_convolutions_that_cannot_be_recorded_leave_whole_models_alone(
    small_benchmark: Benchmark, suite: Suite
) -> None:
    def fail(function: Any, inputs: Any) -> Recording:
        raise RuntimeError("no device")

    fidelity = measured(small_benchmark, suite, record=fail)
    assert fidelity.convolutions is None
    assert fidelity.groups == ()
    assert fidelity.whole is not None
    assert {item.name for item in fidelity.left_out} == {"small", "large"}
    assert "RuntimeError: no device" in fidelity.left_out[0].reason


def test_recording_sees_what_inference_runs() -> None:
    torch = pytest.importorskip("torch")

    class Auxiliary(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.body, self.extra = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 1)
            self.inference: list[bool] = []

        def forward(self, x: Any) -> Any:
            self.inference.append(torch.is_inference_mode_enabled())
            x = torch.nn.functional.dropout(self.body(x), training=self.training)
            return (x, self.extra(x)) if self.training else x

    module = Auxiliary().train()
    calls = convolutions.record(module, (torch.rand(1, 3, 8, 8),)).calls
    found = [call for call in calls if call.family == "convolution"]
    assert [(call.kind, call["out_channels"]) for call in found] == [("conv2d", 4)]
    assert module.inference == [True]


def test_a_platform_that_cannot_be_measured_says_why(
    small_benchmark: Benchmark, suite: Suite
) -> None:
    platform = Platform(backend="null", dtype="bfloat16")
    fidelity = measure_platform(small_benchmark, suite, platform, time_limit=0.1, record=record)
    assert fidelity.whole is fidelity.convolutions is None
    assert fidelity.groups == fidelity.applications == ()
    assert fidelity.left_out[0].name == platform.name
    assert "float32" in fidelity.left_out[0].reason
