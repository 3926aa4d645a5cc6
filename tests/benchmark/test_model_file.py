"""The folder's model.py: readable, standalone, and the same model as every backend's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimatrix import backends, ops
from aimatrix.backends import onnx_model
from aimatrix.benchmark.added import added_work
from aimatrix.benchmark.folder import model_source, readme_text
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.result import Platform
from aimatrix.monitoring import record_calls
from aimatrix.version import VERSION
from benchmark_builders import make_benchmark, make_layer, make_stage

torch = pytest.importorskip("torch")
torch_layers = pytest.importorskip("aimatrix.backends.torch_layers")

GOLDEN = Path(__file__).parent / "golden" / "model.py.txt"


def growing() -> Benchmark:
    """Stages that need zeros at the end, in one dimension and in both; channels up and down."""
    return make_benchmark(
        make_stage("a", (9, 6), 4, make_layer("main", 4, 10, (3, 3), (9, 6))),
        make_stage("b", (5, 11), 3, make_layer("main", 3, 5, (1, 1), (5, 11))),
        make_stage("c", (8, 12), 17, make_layer("branch", 17, 2, (4, 4), (8, 12), stride=(4, 4))),
        make_stage("d", (1, 1), 40, make_layer("main", 40, 6, (1, 1), (1, 1))),
    )


def depthwise() -> Benchmark:
    """Depthwise layers in the chain and beside it, one stage after the other of equal sizes."""
    size = (12, 12)
    return make_benchmark(
        make_stage(
            "a",
            size,
            8,
            make_layer("branch", 8, 8, (3, 3), size, stride=(2, 2), depthwise=True),
            make_layer("main", 8, 24, (1, 1), size),
            make_layer("main", 24, 24, (7, 7), size, depthwise=True),
            make_layer("main", 24, 1, (1, 1), size),
        ),
        make_stage("b", size, 1, make_layer("main", 1, 3, (3, 1), size), multiplicity=0.125),
    )


LAYOUTS: dict[str, Callable[[], Benchmark]] = {"growing": growing, "depthwise": depthwise}


@pytest.fixture(params=["every case", *LAYOUTS])
def benchmark(request: pytest.FixtureRequest, small_benchmark: Benchmark) -> Benchmark:
    return small_benchmark if request.param == "every case" else LAYOUTS[request.param]()


def loaded(benchmark: Benchmark) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(model_source(benchmark), "model.py", "exec"), names)
    return names


def outputs(benchmark: Benchmark) -> np.ndarray:
    names = loaded(benchmark)
    with torch.inference_mode():
        result: np.ndarray = names["build_model"]()(*names["example_inputs"]()).numpy()
    return result


def assert_near(given: np.ndarray, expected: np.ndarray) -> None:
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_the_text_is_the_golden_one(small_benchmark: Benchmark) -> None:
    """Regenerate: write ``model_source`` of the fixture to the file, with VERSION in its place."""
    text = model_source(small_benchmark).replace(VERSION, "VERSION", 1)
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_is_clean_python_without_long_lines(benchmark: Benchmark) -> None:
    text = model_source(benchmark)
    assert max(map(len, text.splitlines())) <= 100
    assert "aimatrix" not in text.lower().replace("ai matrix", "")


def test_runs_where_only_torch_is(small_benchmark: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(model_source(small_benchmark), encoding="utf-8")
    # -I: neither PYTHONPATH nor the current folder; and where ours is installed, it is barred
    program = (
        "import runpy, sys\n"
        "sys.modules['aimatrix'] = None\n"
        "sys.argv = ['model.py', '--threads', '1', '--repetitions', '2']\n"
        "runpy.run_path(sys.orig_argv[-1], run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path / "model.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "stage 33x32",
        "stage 14x16",
        "stage 7x18",
        "stage 7x7",
        "pass",
        "predicted time of the mix",
    ]
    assert all(line.endswith(" ms") for line in lines)


def test_outputs_are_those_of_the_torch_backend(benchmark: Benchmark) -> None:
    prepared = backends.get("torch").prepare(benchmark, Platform(backend="torch", threads=1))
    assert_near(outputs(benchmark), prepared.outputs()[0])


def test_outputs_are_those_of_the_onnx_model(benchmark: Benchmark) -> None:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        onnx_model.export(benchmark), options, providers=["CPUExecutionProvider"]
    )
    x = loaded(benchmark)["example_inputs"]()[0].numpy()
    [given] = session.run(None, {session.get_inputs()[0].name: x})
    assert_near(given, outputs(benchmark))


def test_macs_are_exactly_those_of_the_specification(benchmark: Benchmark) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    names = loaded(benchmark)
    model, inputs = names["build_model"](), names["example_inputs"]()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    document = json.loads(benchmark.model_dump_json())
    macs = sum(layer["macs"] for stage in document["stages"] for layer in stage["layers"])
    assert counter.get_total_flops() == 2 * macs


def test_stages_carry_their_multiplicities(small_benchmark: Benchmark) -> None:
    stages = loaded(small_benchmark)["build_model"]().stages
    assert [stage.multiplicity for stage in stages] == [2.0, 1.0, 0.5, 1.0]


def recorded(run: Callable[[], object]) -> list[OpCall]:
    """What ``run`` calls, by our own monitor."""
    with torch.inference_mode():
        return [translate(raw) for raw in record_calls(run, ATTRIBUTES)]


@pytest.mark.parametrize("batch", [1, 2])
def test_added_work_is_what_the_model_really_adds(benchmark: Benchmark, batch: int) -> None:
    """All that is neither a convolution nor a view."""
    benchmark = benchmark.model_copy(update={"batch": batch})
    names = loaded(benchmark)
    model, inputs = names["build_model"](), names["example_inputs"]()
    calls = recorded(lambda: model(*inputs))
    added = [call for call in calls if call.family != "convolution" and call.kind != "view"]
    stated = added_work(benchmark.stages, benchmark.batch, benchmark.dtype)
    assert stated.operators == len(added)
    assert stated.bytes == sum(ops.cost(call).bytes for call in added)


def test_layers_read_contiguous_inputs_at_any_batch(benchmark: Benchmark) -> None:
    """Else every layer that reads a slice of channels copies it for itself."""
    benchmark = benchmark.model_copy(update={"batch": 2})
    names = loaded(benchmark)
    models = [names["build_model"](), torch_layers.Model(benchmark)]
    seen: list[bool] = []
    for model in models:
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda _, x, y: seen.append(x[0].is_contiguous()))
        model(*names["example_inputs"]())
    assert seen == [True] * 2 * sum(len(stage.layers) for stage in benchmark.stages)


def test_what_is_timed_is_the_whole_pass(benchmark: Benchmark) -> None:
    """The head too, as the torch backend does it."""
    names = loaded(benchmark)
    model, (x,) = names["build_model"](), names["example_inputs"]()
    assert recorded(lambda: names["timed_pass"](model, x)) == recorded(lambda: model(x))
    with torch.inference_mode():
        assert len(names["timed_pass"](model, x)) == len(benchmark.stages)


def test_the_readme_says_which_stages_miss_their_group(small_benchmark: Benchmark) -> None:
    assert "Not matched" not in readme_text(small_benchmark)
    first, second, *rest = small_benchmark.stages
    far = first.model_copy(update={"fitness_error": 0.0234})
    near = second.model_copy(update={"fitness_error": 0.0001})
    text = readme_text(small_benchmark.model_copy(update={"stages": (far, near, *rest)}))
    assert "**Not matched** to the aim of 0.01 %: group 1 (2.3400 %). No widths" in text


def test_the_readme_names_no_application(small_benchmark: Benchmark) -> None:
    text = readme_text(small_benchmark)
    for name in ("alexnet", "vgg", "googlenet", "resnet"):
        assert name not in text.lower()
    assert "2 real applications, in 4 stages" in text
    assert f"{sum(stage.macs for stage in small_benchmark.stages):,}" in text.replace("\n", " ")
    rows = [line for line in text.splitlines() if line.startswith("| group")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows}) == 1
