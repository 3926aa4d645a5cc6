"""int8 in ONNX Runtime: products and LSTMs are quantized, and compute nearly the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from aimatrix import backends, ops
from aimatrix.backends.onnx_mix import build_stage
from aimatrix.backends.onnx_quantized import quantized
from aimatrix.backends.torch_blocks import Memory
from aimatrix.errors import UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixStage
from aimatrix.model.operators import BlockOperator
from aimatrix.model.result import Platform
from mix_builders import gelu, linear, make_mix, make_mix_stage

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

INT8 = Platform(backend="onnxruntime", dtype="int8", threads=1)
FLOAT32 = INT8.model_copy(update={"dtype": "float32"})
LSTM = OpCall.create(
    "recurrent",
    "lstm",
    {
        "batch": 4,
        "steps": 6,
        "rows": 24,
        "input_size": 32,
        "hidden_size": 48,
        "layers": 1,
        "bidirectional": False,
        "bias": True,
        "proj_size": 0,
    },
)


def alone(call: OpCall) -> MixStage:
    operator = BlockOperator.create(call, ops.alone(call))
    stage = make_mix_stage("alone", linear(1, 1, 1))
    return stage.model_copy(update={"operators": (operator,)})


def nodes(stage: MixStage, folder: Path) -> set[str]:
    """The operators of the quantized model of a stage."""
    model = build_stage(stage, ("float32", "float32"), Memory())
    path = quantized(model.write(folder), folder, onnxruntime.SessionOptions())
    return {node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node}


def far(outputs: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference, as a share of the largest value."""
    pairs = zip(outputs, expected, strict=True)
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)


@pytest.mark.parametrize(
    ("call", "operator"),
    [(linear(16, 32, 48), "MatMulInteger"), (LSTM, "DynamicQuantizeLSTM")],
    ids=["linear", "lstm"],
)
def test_products_and_lstms_compute_in_int8(call: OpCall, operator: str, tmp_path: Path) -> None:
    names = nodes(alone(call), tmp_path)
    assert operator in names
    assert not names & {"MatMul", "Gemm", "LSTM"}


def test_a_mix_computes_nearly_the_same() -> None:
    mix = make_mix(make_mix_stage("gelu", gelu(4, 64)), alone(linear(16, 32, 48)))
    outputs = [
        backends.get("onnxruntime").prepare_mix(mix, platform).outputs()
        for platform in (INT8, FLOAT32)
    ]
    assert 0 < far(*outputs) < 0.05


def test_an_application_computes_nearly_the_same() -> None:
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 8))
    x = torch.rand(4, 64)
    outputs = backends.get("onnxruntime").prepare_application(module, (x,), INT8).outputs()
    with torch.no_grad():
        assert 0 < far(outputs, [module(x).numpy()]) < 0.05


def test_in_a_process_of_ours_it_runs_too() -> None:
    program = (
        "from aimatrix import backends; from aimatrix.model.result import Platform;"
        "from mix_builders import small_mix; backend = backends.get('onnxruntime');"
        "backend.own_process(1);"
        "platform = Platform(backend='onnxruntime', dtype='int8', threads=1);"
        "print(len(backend.prepare_mix(small_mix(), platform).run()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],  # where mix_builders is
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "2"


def test_benchmarks_of_convolutions_are_refused(small_benchmark: Benchmark) -> None:
    backend = backends.get("onnxruntime")
    with pytest.raises(UnsupportedError, match="mixes and applications in int8"):
        backend.prepare(small_benchmark, INT8)
    with pytest.raises(UnsupportedError, match="mixes and applications in int8"):
        backend.prepare_convolutions([], [], INT8)


def test_it_is_of_processors_alone() -> None:
    cuda = INT8.model_copy(update={"device": "cuda"})
    with pytest.raises(UnsupportedError):
        backends.get("onnxruntime").check(cuda)


def test_the_stage_does_not_lose_its_float32_model(tmp_path: Path) -> None:
    stage = make_mix(alone(linear(16, 32, 48))).stages[0]
    path = build_stage(stage, ("float32", "float32"), Memory()).write(tmp_path)
    before = path.read_bytes()
    quantized(path, tmp_path, onnxruntime.SessionOptions())
    assert path.read_bytes() == before
