"""Who consumes whose output in an ONNX model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx_models import branch, light, model, node, weights
from onnx_models import whole as integers

from aimatrix.api.importing import import_
from aimatrix.dialects import translate
from aimatrix.dialects.pairs import translated
from aimatrix.dialects.raw import TensorArg
from aimatrix.importers.onnx import calls_of_run
from aimatrix.monitoring.agent.onnx_skeleton import skeleton
from aimatrix.store.workload import WorkloadStore

IMAGE = {"x": [1, 4, 6, 6]}
FILTERS = [weights("w", 4, 4, 1, 1), weights("v", 4, 4, 1, 1)]


def kinds(proto: onnx.ModelProto, level: str = "disabled") -> dict[tuple[str, str], int]:
    run = calls_of_run(skeleton(proto.SerializeToString()), {"x": TensorArg((1, 4, 6, 6))}, level)
    calls = [raw for raw, _ in run.calls]
    raw = [(calls[producer], calls[consumer], times) for producer, consumer, times in run.pairs]
    pairs: Counter[tuple[str, str]] = Counter()
    for (producer, consumer), count in translated(raw, translate).items():
        pairs[producer.kind, consumer.kind] += count
    return dict(pairs)


def test_a_residual_block() -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b v", "c"),
        node("Add", "c b", "d"),
        node("Relu", "d", "z"),
    ]
    assert kinds(model(nodes, IMAGE, stored=FILTERS)) == {
        ("conv2d", "relu"): 1,
        ("relu", "conv2d"): 1,
        ("conv2d", "add"): 1,
        ("relu", "add"): 1,
        ("add", "relu"): 1,
    }


def test_views_do_not_come_between() -> None:
    nodes = [
        node("Sigmoid", "x", "a"),
        node("Reshape", "a shape", "b"),
        node("Identity", "b", "c"),
        node("Tanh", "c", "z"),
    ]
    proto = model(nodes, IMAGE, stored=[integers("shape", 4, 36)])
    assert kinds(proto) == {("sigmoid", "tanh"): 1}


def test_a_call_counts_once_for_each_producer() -> None:
    nodes = [node("Sigmoid", "x", "a"), node("Sigmoid", "x", "b"), node("Add", "a b", "z")]
    assert kinds(model(nodes, IMAGE)) == {("sigmoid", "add"): 1}


def test_a_fused_operator_is_a_chain() -> None:
    nodes = [
        node("Sigmoid", "x", "a"),
        node("FusedConv", "a w", "b", domain="com.microsoft", activation="Relu"),
        node("Tanh", "b", "z"),
    ]
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("com.microsoft", 1)]
    proto = model(nodes, IMAGE, stored=FILTERS[:1], opset_imports=opsets)
    assert kinds(proto) == {
        ("sigmoid", "conv2d"): 1,
        ("conv2d", "relu"): 1,
        ("relu", "tanh"): 1,
    }


def test_what_a_loop_does_counts_with_its_rounds() -> None:
    body = branch([node("Sigmoid", "x", "s"), node("Tanh", "s", "t")], "t")
    body.input.extend(
        [
            onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
        ]
    )
    body.output.insert(0, onnx.helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []))
    trips = onnx.helper.make_tensor("trips", onnx.TensorProto.INT64, [], [5])
    proto = model([node("Loop", "trips ", "z", body=body)], IMAGE, stored=[trips])
    assert kinds(proto) == {("sigmoid", "tanh"): 5}


@pytest.mark.parametrize("name", ["resnet50", "squeezenet"])
def test_an_imported_model_has_its_pairs_in_the_store(tmp_path: Path, name: str) -> None:
    import_([light(name)], store=tmp_path, calls=3)
    found: Counter[tuple[str, str]] = Counter()
    for pair in WorkloadStore(tmp_path).pairs():
        assert (pair.app, pair.source) == (f"light_{name}", "onnx")
        found[pair.producer.kind, pair.consumer.kind] += pair.calls
    expected = {
        "resnet50": {("add", "relu"): 16, ("conv2d", "relu"): 33, ("conv2d", "add"): 20},
        "squeezenet": {("conv2d", "relu"): 26, ("relu", "cat"): 8},
    }[name]
    assert {kind: found[kind] for kind in expected} == {k: 3 * n for k, n in expected.items()}
