"""A mix on OpenVINO is one compiled model, each operator of which belongs to a stage."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino

from aimatrix.backends.onnx_mix import build_together
from aimatrix.backends.openvino_mix import owners
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.model.operators import BlockOperator
from mix_builders import gelu, linear, make_mix, make_mix_stage

sys.path.append(str(Path(__file__).parents[1] / "ops"))
from laid_out import call, convolution


def convolving(name: str) -> MixStage:
    """A convolution, its normalization and an activation: one operator in the compiled model."""
    shape = (2, 12, 5, 5)
    norm = call("normalization", "batch_norm", input=shape, parameters=48)
    calls = (convolution("conv2d", bias=False), norm, gelu(*shape))
    operators = (
        BlockOperator.create(calls[0], (None, None)),
        BlockOperator.create(calls[1], (0, None, None, None, None)),
        BlockOperator.create(calls[2], (1,)),
    )
    return make_mix_stage(name, *calls).model_copy(update={"operators": operators})


def compiled(mix: MixBenchmark, folder: Path) -> tuple[Any, Mapping[str, int]]:
    model, scopes = build_together(mix)
    core = openvino.Core()
    read = core.read_model(model.write(folder))
    return core.compile_model(read, "CPU").get_runtime_model(), scopes


def test_each_operator_has_its_stage(tmp_path: Path) -> None:
    matrices = make_mix_stage("linear", linear(8, 32, 16), gelu(8, 32))
    mix = make_mix(convolving("one"), matrices, convolving("other"))
    model, scopes = compiled(mix, tmp_path)
    kinds = {
        operator.friendly_name: operator.get_rt_info()["layerType"].value
        for operator in model.get_ordered_ops()
    }
    found = owners(model, scopes)
    runs = [name for name, kind in kinds.items() if kind not in ("Const", "Input")]
    assert sorted(found) == sorted(runs)
    assert {kinds[name] for name in runs if found[name] < 0} == {"Reorder"}
    convolutions = [found[name] for name in runs if kinds[name] == "Convolution"]
    products = [found[name] for name in runs if kinds[name] == "FullyConnected"]
    assert (sorted(convolutions), products) == ([0, 2], [1])
    assert "BatchNormalization" not in kinds.values()  # else nothing lost its name
