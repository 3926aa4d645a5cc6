"""What an ONNX file is imported as: operators, shapes, free dimensions, graphs in graphs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import NINE, branch, light, macs, model, node, number, operators, value, weights
from onnx_models import whole as integers

from aimatrix.dialects import translate
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.onnx import calls_of_run, read
from aimatrix.monitoring.agent.onnx_skeleton import skeleton

CONVOLUTION = node("Conv", "x w", "z", strides=[2, 2])
IMAGE = {"x": [1, 3, 224, 224]}


@pytest.fixture
def calls(tmp_path: Path):
    """The calls of a model, by way of a file."""

    def imported(proto: onnx.ModelProto, **dims: int) -> list[tuple[RawCall, int]]:
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        found = read(path, {name.replace("__", "."): size for name, size in dims.items()})
        return [(call.raw, call.calls) for call in found.calls]

    return imported


@pytest.mark.parametrize("name", NINE)
def test_the_nine_models_have_the_macs_of_their_architectures(name: str) -> None:
    found = read(light(name)).calls
    assert macs((call.raw, call.calls) for call in found) == NINE[name]
    assert "unknown" not in {translate(call.raw).family for call in found}


@pytest.mark.parametrize("name", ["resnet50", "shufflenet"])
def test_a_run_that_was_watched_gives_the_calls_of_the_file(name: str) -> None:
    data = light(name).read_bytes()
    inputs = {"gpu_0/data_0": TensorArg((1, 3, 224, 224))}
    watched, imported = calls_of_run(skeleton(data), inputs, "all"), read(light(name))
    assert watched.calls == [(call.raw, call.calls) for call in imported.calls]
    calls = [raw for raw, _ in watched.calls]
    assert [(calls[a], calls[b], n) for a, b, n in watched.pairs] == imported.pairs


def test_a_call_has_shapes_dtypes_and_attributes_and_no_names(calls) -> None:
    [(raw, times)] = calls(model([CONVOLUTION], IMAGE, stored=[weights("w", 64, 3, 7, 7)]))
    assert (raw.name, raw.dialect, times) == ("onnx::Conv", "onnx", 1)
    assert raw.arguments == {
        "inputs": (TensorArg((1, 3, 224, 224)), TensorArg((64, 3, 7, 7))),
        "outputs": (TensorArg((1, 64, 109, 109)),),
        "strides": (2, 2),
    }


def test_equal_calls_are_counted_together(calls) -> None:
    chain = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "z")]
    [(_, times)] = calls(model(chain, IMAGE))
    assert times == 3


def test_the_device_of_a_session_is_that_of_its_tensors() -> None:
    data = model([node("Relu", "x", "z")], {"x": [4]}).SerializeToString()
    [(raw, _)] = calls_of_run(skeleton(data), {"x": TensorArg((4,))}, "all", device="cuda").calls
    assert raw.arguments["inputs"] == (TensorArg((4,), "float32", "cuda"),)


class TestFreeDimensions:
    RELU = model([node("Relu", "x", "z")], {"x": ["batch", "", 8]})

    def test_go_by_their_name_or_their_place(self, calls) -> None:
        [(raw, _)] = calls(self.RELU, batch=2, x__1=5)
        assert raw.arguments["inputs"][0].shape == (2, 5, 8)

    def test_of_a_name_go_by_their_place_too(self, calls) -> None:
        [(raw, _)] = calls(self.RELU, x__0=2, x__1=5)
        assert raw.arguments["inputs"][0].shape == (2, 5, 8)

    def test_that_are_missing_are_named_with_the_mend(self, calls) -> None:
        with pytest.raises(InputError, match=r"model\.onnx: input 'x'.*--dim batch=1$"):
            calls(self.RELU, x__1=3)
        with pytest.raises(InputError, match=r"input 'x'.*--dim x\.1=1$"):
            calls(self.RELU, batch=3)

    def test_that_the_model_does_not_have_are_refused(self, calls) -> None:
        with pytest.raises(InputError, match=r"--dim bach=2: .* it has batch, x\.1$"):
            calls(self.RELU, batch=2, x__1=5, bach=2)
        with pytest.raises(InputError, match="all of its sizes are fixed"):
            calls(model([node("Relu", "x", "z")], {"x": [2]}), batch=2)

    @pytest.mark.parametrize("size", [0, -1, 2**40])
    def test_are_of_sizes_that_tensors_have(self, calls, size: int) -> None:
        with pytest.raises(InputError, match=f"--dim batch={size}"):
            calls(self.RELU, batch=size, x__1=5)


class TestWhatIsMadeAtLoad:
    def test_is_no_call(self, calls) -> None:
        nodes = [
            node("ConstantOfShape", "sizes", "w"),
            node("Shape", "x", "s"),
            node("Gather", "s first", "n"),
            node("Mul", "w two", "w2"),
            node("Conv", "x w2", "z"),
        ]
        stored = [integers("sizes", 4, 3, 3, 3), integers("first", 0), number("two", 2)]
        assert operators(calls(model(nodes, IMAGE, stored=stored))) == {"Conv": 1}

    def test_is_not_what_depends_on_a_size_of_the_run(self, calls) -> None:
        nodes = [node("Shape", "x", "s"), node("ConstantOfShape", "s", "z")]
        found = calls(model(nodes, {"x": ["batch", 4]}), batch=3)
        assert operators(found) == {"Shape": 1, "ConstantOfShape": 1}
        assert found[1][0].arguments["outputs"] == (TensorArg((3, 4)),)

    def test_is_not_a_random_tensor(self, calls) -> None:
        nodes = [node("RandomNormal", "", "r", shape=[2, 3]), node("Add", "x r", "z")]
        assert operators(calls(model(nodes, {"x": [2, 3]}))) == {"RandomNormal": 1, "Add": 1}

    def test_identity_and_dropout_of_inference_vanish(self, calls) -> None:
        nodes = [
            node("Identity", "x", "a"),
            node("Dropout", "a", "b mask"),
            node("Dropout", "b - off", "c"),
            node("Cast", "c", "d", to=TensorProto.FLOAT),
            node("Relu", "d", "z"),
        ]
        off = numpy_helper.from_array(np.array(False), "off")
        assert operators(calls(model(nodes, IMAGE, stored=[off]))) == {"Relu": 1}

    def test_dropout_of_training_stays(self, calls) -> None:
        on = numpy_helper.from_array(np.array(True), "on")
        found = calls(model([node("Dropout", "x - on", "z")], IMAGE, stored=[on]))
        assert operators(found) == {"Dropout": 1}


class TestShapes:
    def test_follow_computed_sizes(self, calls) -> None:
        nodes = [
            node("Shape", "x", "s"),
            node("Slice", "s one three", "middle"),
            node("ReduceProd", "middle", "flat", keepdims=1),
            node("Concat", "minus flat", "target", axis=0),
            node("Reshape", "x target", "r"),
            node("MatMul", "r w", "z"),
        ]
        stored = [integers("one", 1), integers("three", 3), integers("minus", -1)]
        proto = model(nodes, {"x": ["n", 4, 5]}, stored=[*stored, weights("w", 20, 7)])
        product = next(raw for raw, _ in calls(proto, n=6) if raw.name == "onnx::MatMul")
        assert product.arguments["outputs"] == (TensorArg((6, 7)),)

    def test_that_only_data_tell_are_unknown_from_there_on(self, calls) -> None:
        nodes = [node("NonZero", "x", "n"), node("Cast", "n", "f", to=1), node("Relu", "f", "z")]
        found = {raw.name: raw for raw, _ in calls(model(nodes, {"x": [3, 4]}))}
        assert set(found) == {"onnx::NonZero", "onnx::Cast", "onnx::Relu"}
        assert found["onnx::NonZero"].arguments["inputs"] == (TensorArg((3, 4)),)
        assert translate(found["onnx::Relu"]).family == "unknown"

    def test_behind_an_unknown_operator_are_those_that_the_file_declares(self, calls) -> None:
        nodes = [node("Odd", "x", "a", domain="my.own"), node("Relu", "a", "z")]
        proto = model(nodes, {"x": [3]})
        assert translate(calls(proto)[1][0]).family == "unknown"
        proto.graph.value_info.append(value("a", [5, 6]))
        (odd, _), (relu, _) = calls(proto)
        assert odd.name == "my.own::Odd"
        assert translate(odd).family == "unknown"
        assert relu.arguments["outputs"] == (TensorArg((5, 6)),)

    def test_that_the_file_declares_wrongly_are_inferred_anew(self, calls) -> None:
        proto = model([node("Relu", "x", "a"), node("Exp", "a", "z")], {"x": [3]})
        proto.graph.value_info.append(value("a", [1000]))
        assert calls(proto)[1][0].arguments["inputs"] == (TensorArg((3,)),)

    def test_of_a_runtimes_own_operators_follow_from_its_dialect(self, calls) -> None:
        nodes = [node("Gelu", "x", "a", domain="com.microsoft"), node("Relu", "a", "z")]
        relu = next(raw for raw, _ in calls(model(nodes, {"x": [3, 4]})) if "Relu" in raw.name)
        assert relu.arguments["outputs"] == (TensorArg((3, 4)),)

    def test_of_weights_in_other_files_need_no_such_file(self, calls) -> None:
        outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3])
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="../gone.bin")
        [(raw, _)] = calls(model([CONVOLUTION], IMAGE, stored=[outside]))
        assert raw.arguments["inputs"][1] == TensorArg((4, 3, 3, 3))

    def test_of_an_old_version_without_a_rule_are_those_of_the_next(self, calls) -> None:
        nodes = [node("GreaterOrEqual", "x y", "z")]
        [(raw, _)] = calls(model(nodes, {"x": [2, 3], "y": [3]}, opset=12))
        assert raw.arguments["outputs"] == (TensorArg((2, 3), "bool"),)

    def test_of_a_version_that_is_not_out_yet_are_those_of_the_newest(self, calls) -> None:
        [(raw, _)] = calls(model([node("Relu", "x", "z")], {"x": [2]}, opset=1000))
        assert raw.arguments["outputs"] == (TensorArg((2,)),)

    def test_of_what_a_small_constant_tells_are_known(self, calls) -> None:
        proto = model([node("TopK", "x k", "z i")], {"x": [2, 9]}, stored=[integers("k", 4)])
        [(raw, _)] = calls(proto)
        assert raw.arguments["outputs"] == (TensorArg((2, 4)), TensorArg((2, 4), "int64"))

    def test_a_small_constant_is_an_attribute_where_a_rule_reads_it(self, calls) -> None:
        total = node("ReduceSum", "x axes", "z", keepdims=0)
        [(raw, _)] = calls(model([total], {"x": [2, 9]}, stored=[integers("axes", 1)]))
        assert raw.arguments["axes"] == (1,)
        assert raw.arguments["outputs"] == (TensorArg((2,)),)


class TestGraphsInGraphs:
    def condition(self, truth: bool) -> TensorProto:
        return numpy_helper.from_array(np.array(truth), "c")

    CHOICE = node(
        "If",
        "c",
        "z",
        then_branch=branch([node("Relu", "x", "a")], "a"),
        else_branch=branch([node("Exp", "x", "a"), node("Exp", "a", "b")], "b"),
    )

    def test_if_runs_the_branch_that_its_condition_tells(self, calls) -> None:
        for truth, expected in ((True, {"Relu": 1}), (False, {"Exp": 2})):
            proto = model([self.CHOICE], {"x": [3]}, stored=[self.condition(truth)])
            assert operators(calls(proto)) == expected

    def test_if_on_data_is_unknown_and_what_follows_is_not(self, calls) -> None:
        nodes = [
            node("ReduceMax", "x", "m", keepdims=0),
            node("Cast", "m", "c", to=TensorProto.BOOL),
            self.CHOICE,
            node("Exp", "z", "y"),
        ]
        found = calls(model(nodes, {"x": [3]}, outputs="y"))
        assert operators(found) == {"ReduceMax": 1, "Cast": 1, "If": 1, "Exp": 1}
        families = {raw.name: translate(raw).family for raw, _ in found}
        assert families["onnx::If"] == "unknown"
        assert families["onnx::Exp"] == "elementwise"

    def loop(self, body: list[onnx.NodeProto], output: str = "v") -> onnx.NodeProto:
        graph = helper.make_graph(
            body,
            "body",
            [value("i", [], 7), value("go", [], 9), value("u", None)],
            [value("go", [], 9), value(output, None)],
        )
        return node("Loop", "n - x", "z", body=graph)

    def test_loop_runs_its_body_as_often_as_it_says(self, calls) -> None:
        found = calls(
            model([self.loop([node("Relu", "u", "v")])], {"x": [3]}, stored=[integers("n", 1000)])
        )
        assert operators(found) == {"Relu": 1000}

    def test_loop_of_growing_tensors_is_followed_round_by_round(self, calls) -> None:
        body = [node("Concat", "u u", "v", axis=0)]
        found = calls(model([self.loop(body)], {"x": [3]}, stored=[integers("n", 4)]))
        made = sorted(raw.arguments["outputs"][0].shape for raw, _ in found)
        assert made == [(6,), (12,), (24,), (48,)]

    def test_loop_of_unknown_length_is_one_unknown_call(self, calls) -> None:
        proto = model([self.loop([node("Relu", "u", "v")])], {"x": [3]})
        proto.graph.input.append(value("n", [], TensorProto.INT64))
        [(raw, times)] = calls(proto)
        assert (raw.name, times, translate(raw).family) == ("onnx::Loop", 1, "unknown")

    def test_scan_runs_its_body_once_an_element(self, calls) -> None:
        body = helper.make_graph(
            [node("Add", "state element", "sum"), node("Relu", "sum", "kept")],
            "body",
            [value("state", None), value("element", None)],
            [value("sum", None), value("kept", None)],
        )
        scan = node("Scan", "s x", "last z", body=body, num_scan_inputs=1)
        found = calls(model([scan, node("Exp", "z", "y")], {"s": [4], "x": [7, 4]}, outputs="y"))
        assert operators(found) == {"Add": 7, "Relu": 7, "Exp": 1}
        assert found[-1][0].arguments["outputs"] == (TensorArg((7, 4)),)

    def test_functions_of_the_model_are_what_is_in_them(self, calls) -> None:
        power = helper.make_node("LeakyRelu", ["t"], ["r"])
        power.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
        function = helper.make_function(
            "my.own",
            "Block",
            ["a"],
            ["r"],
            [node("Exp", "a", "t"), power],
            [helper.make_opsetid("", 18)],
            attributes=["slope"],
        )
        nodes = [
            node("Block", "x", "b", domain="my.own", slope=0.5),
            node("Block", "b", "z", domain="my.own", slope=0.25),
        ]
        proto = model(
            nodes,
            {"x": [3]},
            functions=[function],
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("my.own", 1)],
        )
        found = calls(proto)
        assert operators(found) == {"Exp": 2, "LeakyRelu": 2}
        assert {raw.arguments.get("alpha") for raw, _ in found} == {None, 0.5, 0.25}

    def test_what_a_call_of_a_function_leaves_out_is_left_out_inside(self, calls) -> None:
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("my.own", 1)]
        inside = [node("Conv", "x w b", "z")]
        function = helper.make_function("my.own", "Layer", ["x", "w", "b"], ["z"], inside, imports)
        for inputs, count in (("x w", 2), ("x w -", 2), ("x w b", 3)):
            proto = model(
                [node("Layer", inputs, "z", domain="my.own")],
                IMAGE,
                stored=[weights("w", 4, 3, 3, 3), weights("b", 4)],
                functions=[function],
                opset_imports=imports,
            )
            [(raw, _)] = calls(proto)
            assert len([one for one in raw.arguments["inputs"] if one]) == count
            assert raw.arguments["outputs"] == (TensorArg((1, 4, 222, 222)),)


def test_nodes_may_stand_in_any_order(calls) -> None:
    nodes = [node("Relu", "b", "z"), node("Exp", "a", "b"), node("Abs", "x", "a")]
    assert operators(calls(model(nodes, {"x": [3]}))) == {"Relu": 1, "Exp": 1, "Abs": 1}


def test_no_name_of_the_model_is_in_a_call(calls) -> None:
    nodes = [
        node("Conv", "secret_image secret_weights", "secret_a", name="secret_layer"),
        node("Odd", "secret_a", "secret_b", domain="my.own", vocabulary=["secret"] * 100),
        node("Relu", "secret_b", "z", name="secret_relu"),
    ]
    proto = model(
        nodes, {"secret_image": [1, 3, 8, 8]}, stored=[weights("secret_weights", 4, 3, 3, 3)]
    )
    assert not re.search("secret", repr(calls(proto)))
