"""The exported ONNX model: small, the same bytes always, and nothing left to make at run time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aimatrix.model.benchmark import Benchmark, Layer

onnx = pytest.importorskip("onnx")


def test_whole_model_gives_the_outputs_of_torch(small_benchmark: Benchmark) -> None:
    ort = pytest.importorskip("onnxruntime")
    torch = pytest.importorskip("torch")
    from aimatrix.backends.onnx_model import export
    from aimatrix.backends.torch_layers import Model
    from aimatrix.benchmark.layout import example_input

    x = example_input(small_benchmark)
    session = ort.InferenceSession(export(small_benchmark), providers=["CPUExecutionProvider"])
    (output,) = session.run(["output"], {"input": x})
    with torch.no_grad():
        expected = Model(small_benchmark)(torch.from_numpy(x)).numpy()
    assert np.abs(output - expected).max() <= 1e-4 * np.abs(expected).max()


def test_weights_are_folded_when_the_model_is_loaded(
    small_benchmark: Benchmark, tmp_path: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    from aimatrix.backends.onnx_model import export

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(export(small_benchmark), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(str(tmp_path / "optimized.onnx")).graph.node
    kinds = Counter(node.op_type for node in nodes)
    layers = sum(len(stage.layers) for stage in small_benchmark.stages)
    assert kinds["Conv"] + kinds["FusedConv"] == layers
    assert not kinds.keys() & {"Tile", "Mul", "Reshape"}


def test_file_is_small_and_the_same_every_time(
    build_benchmark: Callable[..., Benchmark], small_benchmark: Benchmark
) -> None:
    from aimatrix.backends.onnx_model import export

    wide = [
        Layer(
            role="main",
            in_channels=512,
            out_channels=512,
            kernel_size=(3, 3),
            stride=(1, 1),
            padding=(1, 1),
            groups=1,
            macs=1,
            warps=1,
        )
    ] * 20
    changes = {"in_channels": 512, "layers": tuple(wide)}
    stages = [
        small_benchmark.stages[3].model_copy(update={"name": name, **changes}) for name in "abc"
    ]
    benchmark = build_benchmark(*stages)
    content = export(benchmark)
    assert len(content) < 200_000
    assert content == export(benchmark)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
