"""Single operators and blocks in ONNX: they compute what they compute in torch, and all of it."""
# ruff: noqa: E501 (a call a line)

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from aimatrix import ops
from aimatrix.backends import onnx_mix, onnx_operators, torch_mix, torch_operators
from aimatrix.backends.onnx_graph import OnnxModel
from aimatrix.backends.torch_blocks import Memory
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixStage
from aimatrix.model.operators import BlockOperator
from mix_builders import gelu, linear, make_mix, make_mix_stage

sys.path.append(str(Path(__file__).parents[1] / "ops"))
from laid_out import CALLS, LSTM, SDPA, WINDOW, call

DTYPES = ("float32", "float32")
#: a transposition stands for a copy; nothing is done for a fill, which is a constant
OTHERWISE = {"copy", "fill"}
STEP = {**LSTM, "steps": 1, "rows": 3, "layers": 1, "bidirectional": False}


def elementwise(kind: str, *shapes: tuple[int, ...]) -> OpCall:
    return call("elementwise", kind, inputs=shapes)


def reduction(kind: str, *dims: int) -> OpCall:
    return call("reduction", kind, input=(4, 5, 16), dims=dims, keepdim=False)


#: what `CALLS` has not
MORE = {
    "gru both ways": call("recurrent", "gru", **LSTM),
    "rnn": call("recurrent", "rnn_tanh", **{**LSTM, "bias": False}),
    "rnn_relu": call("recurrent", "rnn_relu", **{**LSTM, "layers": 1}),
    **{kind: call("recurrent", kind, **STEP) for kind in ("gru_cell", "rnn_tanh_cell")},
    "instance_norm": call("normalization", "instance_norm", input=(2, 6, 9, 9), parameters=12),
    "avg_pool2d": call("pooling", "avg_pool2d", **{**WINDOW, "ceil_mode": True}),
    "avg_pool2d of more than all": call(
        "pooling", "avg_pool2d", **{**WINDOW, **dict.fromkeys(("kernel_size", "stride"), (20, 20)), "ceil_mode": True}
    ),
    "adaptive_max_pool2d": call(
        "pooling", "adaptive_max_pool2d", batch=2, channels=6, input_size=(9, 9), output_size=(3, 3)
    ),
    "sdpa across": call("attention", "sdpa", **{**SDPA, "key_len": 7, "causal": False}),
    **{
        kind: elementwise(kind, (4, 5, 16))
        for kind in (*sorted(torch_operators._UNARY), "pow")  # of any other kind as much is moved
    },
    **{kind: elementwise(kind, (4, 16), (16,)) for kind in sorted(torch_operators._BINARY)},
    **{kind: reduction(kind, 1) for kind in ("sum", "amax", "min", "var", "std", "argmax")},
    "log_softmax": reduction("log_softmax", -1),
    "sum of all": reduction("sum"),
    "sum of whole numbers": replace(reduction("sum", 2), dtype="int64"),
    "both": replace(elementwise("logical_and", (4, 16), (4, 16)), dtype="bool"),
    "nearest": call(
        "resampling", "upsample_nearest2d", inputs=((2, 6, 9, 9),), outputs=((2, 6, 18, 13),), indices=0
    ),
}  # fmt: skip


def alone(single: OpCall) -> MixStage:
    """A stage of one operator."""
    return make_mix_stage("alone", linear(1, 1, 1)).model_copy(
        update={"operators": (BlockOperator.create(single, ops.alone(single)),)}
    )


def built(stage: MixStage) -> OnnxModel:
    return onnx_mix.build_stage(stage, DTYPES, Memory())


def run(model: OnnxModel) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    weights = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in model.weights.values()]
    options.add_external_initializers(list(model.weights), weights)
    session = onnxruntime.InferenceSession(
        model.content, options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    outputs: list[np.ndarray] = session.run(None, dict(zip(names, model.inputs, strict=True)))
    return outputs


def in_torch(stage: MixStage) -> list[np.ndarray]:
    """What the blocks put out at their ends, the first tensor of each."""
    prepared = torch_mix.build_stages(make_mix(stage))[0]
    with torch.inference_mode():
        outputs = prepared.run(prepared.tensors("float32", Memory()))
    firsts: list[Any] = [each[0] if isinstance(each, (tuple, list)) else each for each in outputs]
    return [each.numpy() for each in firsts]


def operators(model: OnnxModel) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model.content).graph.node]


def assert_alike(output: np.ndarray, expected: np.ndarray) -> None:
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*CALLS, *MORE])
def test_it_computes_what_torch_does(name: str) -> None:
    single = {**CALLS, **MORE}[name]
    output = run(built(alone(single)))[0]
    if onnx_operators.stands_in(single):
        elements = ops.cost(single).bytes // 2 // 4
        assert output.size == elements
    elif name not in OTHERWISE:
        assert_alike(output, in_torch(alone(single))[0])


def test_only_training_and_projections_are_not_laid_out() -> None:
    without = {name for name, single in CALLS.items() if onnx_operators.stands_in(single)}
    trains = {name for name, single in CALLS.items() if single.phase != "forward"}
    assert without == trains | {"lstm projected"}


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8", "bool", "bfloat16"])
@pytest.mark.parametrize("name", ["add", "div", "cat", "topk", "index_select", "cumsum", "softmax"])
def test_of_any_dtype_there_is_something_that_runs(name: str, dtype: str) -> None:
    single = MORE["div"] if name == "div" else CALLS[name]
    outputs = run(built(alone(replace(single, dtype=dtype))))
    assert outputs[0].size


def test_a_copy_moves_numbers() -> None:
    heads = call("movement", "copy", inputs=((2, 5, 4, 8),))
    model = built(alone(heads))
    assert operators(model) == ["Transpose"]
    assert sorted(run(model)[0].ravel()) == sorted(model.inputs[0].ravel())


@pytest.mark.parametrize("kind", ["view", "fill"])
def test_what_costs_a_graph_nothing_is_not_copied(kind: str) -> None:
    single = call("movement", kind, inputs=((64, 64),))
    assert [output.size for output in run(built(alone(single)))] == [1]
    own = (single, ops.alone(single))
    assert [output.size for output in run(built(block(own, own, repeats=3)))] == [1]
    behind = run(built(block((gelu(4, 8), (None,)), own, repeats=2)))
    assert [output.shape for output in behind] == [(4, 8), (4, 8)]


def test_a_linear_layer_and_attention_are_spelled_as_the_exporter_spells_them() -> None:
    assert operators(built(alone(linear(4, 8, 16)))) == ["Gemm"]
    spelled = operators(built(alone(CALLS["sdpa"])))
    assert spelled == [
        *("Reshape", "Transpose", "Reshape", "Mul", "Mul", "MatMul", "Add", "Softmax", "MatMul"),
    ]


def block(*operators: tuple[OpCall, tuple[int | None, ...]], repeats: int = 1) -> MixStage:
    return make_mix_stage("block", linear(1, 1, 1), repeats=repeats).model_copy(
        update={"operators": tuple(BlockOperator.create(*each) for each in operators)}
    )


def test_an_operand_with_a_source_takes_what_that_puts_out() -> None:
    stage = block(
        (linear(8, 32, 16), (None, None, None)),
        (gelu(2, 4, 32), (0,)),
        (call("elementwise", "add", inputs=((8, 32), (8, 32))), (1, 0)),
        repeats=3,
    )
    outputs, expected = run(built(stage)), in_torch(stage)
    assert len(outputs) == len(expected) == 3
    for output, wanted in zip(outputs, expected, strict=True):
        assert_alike(output, wanted)


def test_an_operand_may_be_the_first_elements_of_its_source() -> None:
    stage = block((gelu(6, 10), (None,)), (gelu(7, 3), (0,)))
    assert_alike(run(built(stage))[0], in_torch(stage)[0])


def test_a_view_between_two_operators_is_no_node() -> None:
    view = call("movement", "view", inputs=((8, 32),))
    stage = block((gelu(8, 32), (None,)), (view, (0,)), (gelu(8, 32), (1,)))
    assert operators(built(stage)) == ["Gelu", "Gelu"]


def test_an_operator_that_compares_feeds_one_that_computes() -> None:
    less = call("elementwise", "lt", inputs=((4, 16), (4, 16)))
    stage = block((less, (None, None)), (gelu(4, 16), (0,)))
    # gelu of 0 and of 1
    assert {f"{number:.2f}" for number in run(built(stage))[0].ravel()} == {"0.00", "0.84"}


def test_what_nobody_takes_is_put_out_behind_the_ends() -> None:
    stage = block((gelu(4, 8), (None,)), (gelu(4, 9), (None,)), (gelu(4, 10), (None,)), repeats=2)
    shapes = [output.shape for output in run(built(stage))]
    assert shapes == [(4, 10), (4, 10), (4, 8), (4, 9), (4, 8), (4, 9)]


def test_the_model_holds_no_weights(tmp_path: Path) -> None:
    stage = block((linear(2, 1024, 2048), (None, None, None)), repeats=2)
    model = built(stage)
    assert len(model.content) < 10_000
    assert sum(weight.nbytes for weight in model.weights.values()) > 16_000_000
    path = model.write(tmp_path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, model.inputs, strict=True)))
    for output, wanted in zip(outputs, in_torch(stage), strict=True):
        assert_alike(output, wanted)
