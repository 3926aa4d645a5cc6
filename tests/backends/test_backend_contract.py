"""What every backend promises. To add a backend to the suite: one line in ``BACKENDS``."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from aimatrix import backends
from aimatrix.backends import Backend
from aimatrix.errors import InputError, MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.result import Platform
from mix_builders import gelu, make_mix, make_mix_stage, small_mix

# torch's compiler and exporter warn about internals of their own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

#: name -> the module that it needs
BACKENDS = {
    "torch": "torch",
    "torch-compile": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "jax": "jax",
    "null": "aimatrix",
}
ONLY_INFER = ("onnxruntime", "openvino", "jax")
ENVIRONMENT = {"cpu", "cores", "os", "python", "aimatrix", "framework", "dtype", "threads"}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    pytest.importorskip(BACKENDS[request.param])
    if request.param == "torch-compile" and not shutil.which("c++"):
        pytest.skip("needs a C++ compiler")
    return backends.get(request.param)


@pytest.fixture
def platform(backend: Backend) -> Platform:
    return Platform(backend=backend.name, threads=1)


@pytest.fixture
def specification(backend: Backend, small_benchmark: Benchmark) -> Benchmark:
    """A benchmark; a part of it where each stage takes seconds to compile."""
    if backend.name != "torch-compile":
        return small_benchmark
    return small_benchmark.model_copy(update={"stages": small_benchmark.stages[1:3]})


def reference(benchmark: Benchmark) -> np.ndarray:
    return backends.get("torch").prepare(benchmark, Platform(backend="torch")).outputs()[0]


def assert_equal_outputs(outputs: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Within 1e-4 of the largest value, which leaves room for other orders of summation."""
    assert [array.shape for array in outputs] == [array.shape for array in expected]
    for array, wanted in zip(outputs, expected, strict=True):
        assert np.abs(array - wanted).max() <= 1e-4 * np.abs(wanted).max()


def conv2d(**changes: Any) -> OpCall:
    attributes = {
        "batch": 2,
        "in_channels": 8,
        "out_channels": 12,
        "groups": 1,
        "bias": True,
        "input_size": (20, 17),
        "kernel_size": (3, 5),
        "stride": (2, 1),
        "padding": (1, 2),
        "dilation": (1, 1),
        "output_padding": (0, 0),
    }
    return OpCall.create("convolution", "conv2d", {**attributes, **changes})


CALLS = [
    conv2d(),
    conv2d(groups=4, bias=False),
    conv2d(dilation=(2, 2)),
    conv2d(groups=8, out_channels=8, kernel_size=(3, 3), padding=(0, 1)),
]


def test_times_each_stage_of_a_pass(
    backend: Backend, platform: Platform, specification: Benchmark
) -> None:
    prepared = backend.prepare(specification, platform)
    for _ in range(2):
        seconds = prepared.run()
        assert len(seconds) == len(specification.stages)
        assert all(value > 0 for value in seconds)


def test_computes_what_the_specification_says(
    backend: Backend, platform: Platform, specification: Benchmark
) -> None:
    pytest.importorskip("torch")
    outputs = backend.prepare(specification, platform).outputs()
    if not outputs:
        assert backend.name == "null"
        return
    expected = reference(specification)
    assert_equal_outputs(outputs, [expected])


def test_times_each_stage_of_a_mix(backend: Backend, platform: Platform) -> None:
    prepared = backend.prepare_mix(small_mix(), platform)
    assert prepared.missing == frozenset()
    for _ in range(2):
        seconds = prepared.run()
        assert len(seconds) == 2
        assert all(value > 0 for value in seconds)


def test_computes_the_same_mix(backend: Backend, platform: Platform) -> None:
    if backend.name == "null":
        return
    outputs = backend.prepare_mix(small_mix(), platform).outputs()
    eager = backends.get("torch").prepare_mix(small_mix(), Platform(backend="torch"))
    assert_equal_outputs(outputs, eager.outputs())


def test_stages_that_train_run_or_are_missing_and_take_no_time(
    backend: Backend, platform: Platform
) -> None:
    step = replace(gelu(4, 64), phase="optimizer")
    mix = make_mix(make_mix_stage("step", step), make_mix_stage("gelu", gelu(4, 64)))
    prepared = backend.prepare_mix(mix, platform)
    assert prepared.missing == ({0} if backend.name in ONLY_INFER else set())
    seconds = prepared.run()
    assert [number for number, value in enumerate(seconds) if value == 0] == [*prepared.missing]


def test_a_mix_of_which_nothing_runs_is_refused(backend: Backend, platform: Platform) -> None:
    if backend.name not in ONLY_INFER:
        return
    mix = make_mix(make_mix_stage("step", replace(gelu(4, 64), phase="optimizer")))
    with pytest.raises(UnsupportedError, match="all stages of the mix train"):
        backend.prepare_mix(mix, platform)


def test_adds_loose_convolutions_up_in_their_buckets(backend: Backend, platform: Platform) -> None:
    prepared = backend.prepare_convolutions(CALLS, [0, 0, 2, 0], platform)
    first, second, third = prepared.run()
    assert first > 0
    assert second == 0
    assert third > 0


def test_computes_the_same_loose_convolutions(backend: Backend, platform: Platform) -> None:
    pytest.importorskip("torch")
    outputs = backend.prepare_convolutions(CALLS, [0, 0, 1, 0], platform).outputs()
    if backend.name == "null":
        return
    eager = backends.get("torch").prepare_convolutions(
        CALLS, [0, 1, 1, 0], Platform(backend="torch")
    )
    assert_equal_outputs(outputs, eager.outputs())


def test_no_convolutions_take_no_time(backend: Backend, platform: Platform) -> None:
    assert backend.prepare_convolutions([], [], platform).run() == []


def test_runs_an_application(backend: Backend, platform: Platform) -> None:
    torch = pytest.importorskip("torch")
    if backend.name in ONLY_INFER:
        pytest.importorskip("onnxscript")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Dropout(), torch.nn.ReLU())
    x = torch.rand(1, 3, 12, 12)
    prepared = backend.prepare_application(module, (x,), platform)
    (seconds,) = prepared.run()
    assert seconds > 0
    if backend.name != "null":
        with torch.no_grad():
            assert_equal_outputs(prepared.outputs(), [module.eval()(x).numpy()])


def test_says_where_it_runs(backend: Backend, platform: Platform) -> None:
    environment = backend.environment(platform)
    assert environment.keys() >= ENVIRONMENT
    assert environment["threads"] == "1"
    assert all(isinstance(value, str) and value for value in environment.values())


@pytest.mark.parametrize(
    "changes", [{"dtype": "int3"}, {"device": "abacus"}, {"device": "cpu:foo"}, {"device": ""}]
)
def test_refuses_what_it_cannot_do(
    backend: Backend, platform: Platform, small_benchmark: Benchmark, changes: dict[str, str]
) -> None:
    strange = platform.model_copy(update=changes)
    with pytest.raises(UnsupportedError):
        backend.check(strange)
    with pytest.raises(UnsupportedError):
        backend.prepare(small_benchmark, strange)


def test_a_missing_package_is_named_with_its_installation(
    backend: Backend, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.name == "null":
        return

    def without(name: str, package: str | None = None) -> Any:
        return None if name == BACKENDS[backend.name] else find_spec(name, package)

    module = type(backend).check.__globals__
    eager = type(backends.get("torch")).check.__globals__
    for namespace in (module, eager):
        if "find_spec" in namespace:
            monkeypatch.setitem(namespace, "find_spec", without)
    with pytest.raises(MissingPackageError, match="pip install"):
        backend.check(platform)


def test_an_unknown_backend_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="torch, torch-compile, onnxruntime, openvino, jax, null"):
        backends.get("abacus")
