"""The structure of a model without its weights, and what is no model."""

from __future__ import annotations

import ast
import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from aimatrix.monitoring.agent import onnx_skeleton
from aimatrix.monitoring.agent.onnx_skeleton import skeleton

onnx = pytest.importorskip("onnx")
from google.protobuf.message import DecodeError  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402


def big_model(nodes: int = 4, width: int = 512) -> onnx.ModelProto:
    """A chain of matrix products with weights of width x width."""
    stored = [
        helper.make_tensor(
            f"w{i}", TensorProto.FLOAT, [width, width], bytes(4 * width**2), raw=True
        )
        for i in range(nodes)
    ]
    chain = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(nodes)]
    graph = helper.make_graph(
        chain,
        "graph",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(f"x{nodes}", TensorProto.FLOAT, None)],
        stored,
    )
    return helper.make_model(graph)


def kept(proto: onnx.ModelProto, largest: int = 1024) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(skeleton(proto.SerializeToString(), largest))


def length(size: int) -> bytes:
    """A varint."""
    encoded = bytearray()
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    return bytes([*encoded, size])


def message(number: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return length(number << 3 | 2) + length(len(content)) + content


def test_weights_are_left_out_and_the_graph_stays() -> None:
    proto = big_model()
    found = kept(proto)
    assert list(found.graph.node) == list(proto.graph.node)
    assert list(found.graph.input) == list(proto.graph.input)
    assert list(found.opset_import) == list(proto.opset_import)
    assert [(t.name, list(t.dims), t.data_type) for t in found.graph.initializer] == [
        (t.name, list(t.dims), t.data_type) for t in proto.graph.initializer
    ]
    assert not any(tensor.raw_data for tensor in found.graph.initializer)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (TensorProto.FLOAT, "float_data"),
        (TensorProto.INT32, "int32_data"),
        (TensorProto.INT64, "int64_data"),
        (TensorProto.DOUBLE, "double_data"),
        (TensorProto.UINT64, "uint64_data"),
        (TensorProto.STRING, "string_data"),
    ],
)
def test_data_of_every_kind_stay_up_to_the_limit_alone(kind: int, field: str) -> None:
    proto = big_model(1)
    for count in (3, 2000):
        values = [b"text"] * count if kind == TensorProto.STRING else [1] * count
        proto.graph.initializer.append(helper.make_tensor(f"t{count}", kind, [count], values))
    few, many = kept(proto).graph.initializer[1:]
    assert len(getattr(few, field)) == 3
    assert len(getattr(many, field)) == 0
    assert list(many.dims) == [2000]


def test_weights_in_subgraphs_functions_and_constants_are_left_out() -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [10_000], bytes(40_000), raw=True)
    constant = helper.make_node("Constant", [], ["c"], value=weights)
    inner = helper.make_graph([constant], "inner", [], [], [weights])
    choice = helper.make_node("If", ["x0"], ["y"], then_branch=inner, else_branch=inner)
    proto = big_model(1)
    proto.graph.node.append(choice)
    proto.functions.append(
        helper.make_function("d", "f", [], ["c"], [constant], proto.opset_import)
    )
    found = kept(proto)
    assert len(skeleton(proto.SerializeToString())) < 1000
    then = found.graph.node[1].attribute[0].g
    assert list(then.node[0].attribute[0].t.dims) == [10_000]
    assert list(then.initializer[0].dims) == [10_000]
    assert list(found.functions[0].node[0].attribute[0].t.dims) == [10_000]


@pytest.mark.parametrize(
    ("attribute", "values", "kind"),
    [
        ("value_floats", [0.5] * 3000, TensorProto.FLOAT),
        ("value_ints", [1, 2**40, -1] * 1000, TensorProto.INT64),
        ("value_strings", ["text"] * 3000, TensorProto.STRING),
    ],
)
def test_long_lists_of_constants_become_tensors_of_their_size(
    attribute: str, values: list[object], kind: int
) -> None:
    proto = big_model(1)
    proto.graph.node.append(helper.make_node("Constant", [], ["c"], **{attribute: values}))
    [found] = kept(proto).graph.node[1].attribute
    assert (found.name, found.type) == ("value", onnx.AttributeProto.TENSOR)
    assert (list(found.t.dims), found.t.data_type) == ([3000], kind)
    proto.graph.node[1].attribute[0].name = "other"
    [found] = kept(proto).graph.node[1].attribute
    assert (len(found.floats), len(found.ints), len(found.strings)) == (0, 0, 0)


def test_sparse_weights_keep_their_dims() -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [5000], bytes(20_000), raw=True)
    indices = helper.make_tensor("", TensorProto.INT64, [5000], bytes(40_000), raw=True)
    proto = big_model(1)
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [100_000, 10]))
    sparse = kept(proto).graph.sparse_initializer[0]
    assert (list(sparse.dims), sparse.values.name) == ([100_000, 10], "s")
    assert not sparse.values.raw_data
    assert not sparse.indices.raw_data


def test_what_is_said_of_a_model_is_left_out() -> None:
    proto = big_model(1)
    secret = "secret"
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = secret
    proto.producer_name = proto.graph.node[0].name = proto.graph.name = secret
    proto.metadata_props.add(key=secret, value=secret)
    proto.graph.metadata_props.add(key=secret, value=secret)
    proto.training_info.add().algorithm.name = secret
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=secret)
    assert secret.encode() not in skeleton(proto.SerializeToString())


def test_weights_are_skipped_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(big_model(20, 1024).SerializeToString())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tracemalloc.start()
        found = skeleton(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(found) < 2000
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x3a", "cut off"),  # the graph's tag without a length
        (b"\x3a\xff", "cut off"),
        (b"\x3a" + b"\xff" * 11, "cut off"),  # a number of more bits than any
        (b"\x3a\x7f", "beyond"),
        (b"\x3a" + b"\xff" * 9 + b"\x7f", "beyond"),
        (b"\x0d\x01", "beyond"),  # four bytes of which one is there
        (b"\x3b", "wire type 3"),  # groups
        (b"\x3c", "wire type 4"),
        (b"\x3f", "wire type 7"),
        (message(7, message(1, message(1, b"\xff\xfe"))), "utf-8"),
        (b"\x00\x00", "beyond"),  # field 0
    ],
)
def test_what_is_no_protobuf_message_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        skeleton(content)


def is_read_by(parse: Callable[[bytes], object], content: bytes) -> bool:
    try:
        parse(content)
    except (ValueError, DecodeError):
        return False
    return True


def test_a_truncated_model_is_refused_where_protobuf_refuses_it() -> None:
    content = big_model(2, 8).SerializeToString()
    for end in range(len(content)):
        whole = is_read_by(onnx.ModelProto.FromString, content[:end])
        assert is_read_by(skeleton, content[:end]) == whole


def test_deep_nesting_is_refused() -> None:
    content = b""
    for _ in range(200):  # a graph in an attribute of a node of a graph
        content = message(1, message(5, message(6, content)))
    with pytest.raises(ValueError, match="nested"):
        skeleton(message(7, content))


def test_structure_beyond_any_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = message(7, message(1, message(4, b"Relu")) * 1000)
    monkeypatch.setattr(onnx_skeleton, "_MOST_FIELDS", 1500)
    with pytest.raises(ValueError, match="fields"):
        skeleton(content)
    monkeypatch.undo()
    monkeypatch.setattr(onnx_skeleton, "_MOST_KEPT", 3000)
    with pytest.raises(ValueError, match="besides its weights"):
        skeleton(content)


def test_many_empty_fields_take_no_memory() -> None:
    content = b"\x32\x00" * 300_000  # documentation, which is not kept
    tracemalloc.start()
    assert skeleton(content) == b""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(onnx_skeleton.__file__).read_text(), feature_version=(3, 9))
    imported = {
        alias.name.split(".")[0]
        for statement in ast.walk(tree)
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for alias in (
            statement.names
            if isinstance(statement, ast.Import)
            else [ast.alias(statement.module or "")]
        )
    }
    assert imported <= {"__future__", "collections", "typing"}
