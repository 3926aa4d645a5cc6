"""ONNX files that are damaged, or made to do harm: one clear error, in bounded memory and time."""

from __future__ import annotations

import contextlib
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx_models import branch, light, model, node, operators, value, weights
from onnx_models import whole as integers

from aimatrix.dialects import translate
from aimatrix.errors import InputError
from aimatrix.importers.imported import Imported
from aimatrix.importers.onnx import read

RELU = node("Relu", "x", "z")
#: bytes by which this process may grow while it reads, and seconds that a file may take
GROWTH, PATIENCE = 200 << 20, 30


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Callable[[ModelProto | bytes], Imported]]:
    """What a file with that content is imported as, if it is in time and memory.

    An error of it is one line, which begins with the file's name.
    """
    reasons: list[str] = []

    def importer(content: ModelProto | bytes) -> Imported:
        path = tmp_path / "model.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        start = time.monotonic()
        try:
            return read(path)
        except InputError as error:
            reasons.append(str(error).removeprefix(f"{path}: "))
            raise
        finally:
            assert time.monotonic() - start < PATIENCE
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < GROWTH

    yield importer
    assert not [reason for reason in reasons if str(tmp_path) in reason or "\n" in reason]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 1000,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"PK\x03\x04" + b"model" * 100,
        b"import torch\n",
        ModelProto(ir_version=8).SerializeToString(),
        model([], {"x": [1]}, outputs="x").SerializeToString(),
    ],
    ids=["empty", "zeros", "picture", "archive", "program", "no graph", "no nodes"],
)
def test_other_files_are_told_to_be_no_model(imported, content: bytes) -> None:
    with pytest.raises(InputError, match=r"is not an ONNX model|cannot be read"):
        imported(content)


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.onnx"):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def nested(depth: int) -> NodeProto:
    inner = RELU
    for _ in range(depth):
        inner = node("If", "c", "z", then_branch=branch([inner], "z"), else_branch=branch([], "x"))
    return inner


def function(name: str, nodes: list[NodeProto]) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["z"], nodes, imports)


def of_functions(functions: list[onnx.FunctionProto], first: str) -> ModelProto:
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    call = node(first, "x", "z", domain="own")
    return model([call], {"x": [2]}, functions=functions, opset_imports=imports)


def doubling(levels: int) -> ModelProto:
    """Functions each of which calls the next one twice."""
    functions = [
        function(
            f"f{level}",
            [
                node(f"f{level + 1}", "x", "a", domain="own"),
                node(f"f{level + 1}", "a", "z", domain="own"),
            ],
        )
        for level in range(levels)
    ]
    return of_functions([*functions, function(f"f{levels}", [RELU])], "f0")


def sized_wrongly(*dims: int) -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)


TRUE = numpy_helper.from_array(np.array(True), "c")
HOSTILE: dict[str, tuple[ModelProto, str]] = {
    "cycle": (
        model([node("Relu", "b", "a"), node("Relu", "a", "b"), RELU], {"x": [2]}),
        "cycle through the tensor 'a'",
    ),
    "missing": (model([node("Add", "x y", "z")], {"x": [2]}), "reads the tensor 'y'"),
    "missing output": (model([RELU], {"x": [2]}, "z y"), "'y', which no node makes"),
    "made twice": (model([RELU, node("Exp", "x", "z")], {"x": [2]}), "makes the tensor 'z' twice"),
    "negative size": (model([RELU], {"x": [-3]}), r"tensor 'x' has the shape \[-3\]"),
    "huge size": (model([RELU], {"x": [2**62, 2**62]}), "shape"),
    "huge weights": (
        model([node("Add", "x w", "z")], {"x": [2]}, stored=[sized_wrongly(2**40, 2**40)]),
        "shape",
    ),
    "huge made": (
        model([node("Expand", "x s", "z")], {"x": [1]}, stored=[integers("s", 2**62)]),
        "shape",
    ),
    "many dimensions": (model([RELU], {"x": [1] * 5000}), "5000 dimensions"),
    "function of itself": (
        of_functions([function("f", [node("f", "x", "z", domain="own")])], "f"),
        "nested more than",
    ),
    "doubling functions": (doubling(30), "executes more than"),
}


def test_versions_that_there_cannot_be_are_refused(imported) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]})
    proto.opset_import[0].version = -(2**63)
    with pytest.raises(InputError, match="opset_import: -9223372036854775808 is no version"):
        imported(proto)


@pytest.mark.parametrize("name", HOSTILE)
def test_models_that_make_no_sense_are_refused_with_the_reason(imported, name: str) -> None:
    proto, reason = HOSTILE[name]
    with pytest.raises(InputError, match=reason):
        imported(proto)


def test_deep_graphs_are_refused(imported) -> None:
    content = b""
    for _ in range(200):  # a graph in an attribute of a node of a graph, and so on
        for number in (6, 5, 1):
            size = bytes([len(content) & 127 | 128, len(content) >> 7 & 127 | 128])
            content = bytes([number << 3 | 2]) + size + bytes([len(content) >> 14]) + content
    head = bytes([7 << 3 | 2, len(content) & 127 | 128, len(content) >> 7])
    with pytest.raises(InputError, match="nested more than"):
        imported(head + content)


def test_many_nested_graphs_are_read(imported) -> None:
    found = imported(model([nested(25)], {"x": [2]}, stored=[TRUE])).calls
    assert operators((call.raw, call.calls) for call in found) == {"Relu": 1}


def test_thousands_of_graphs_in_a_row_are_read(imported) -> None:
    nodes = [
        node(
            "If",
            "c",
            f"t{place + 1}",
            then_branch=branch([node("Relu", f"t{place}", "a")], "a"),
            else_branch=branch([node("Exp", f"t{place}", "a")], "a"),
        )
        for place in range(3000)
    ]
    found = imported(model(nodes, {"t0": [2]}, "t3000", [TRUE])).calls
    assert operators((call.raw, call.calls) for call in found) == {"Relu": 3000}


def test_a_loop_of_many_rounds_takes_no_time(imported) -> None:
    body = helper.make_graph(
        [node("Relu", "u", "v")],
        "body",
        [value("i", [], 7), value("go", [], 9), value("u", None)],
        [value("go", [], 9), value("v", None)],
    )
    loop = node("Loop", "n - x", "z", body=body)
    found = imported(model([loop], {"x": [2]}, stored=[integers("n", 2**40)])).calls
    assert [call.calls for call in found] == [2**40]


def test_constants_that_would_fill_memory_are_not_made(imported) -> None:
    nodes = [
        node("ConstantOfShape", "big", "a"),
        node("Range", "zero many one", "b"),
        node("Tile", "one1 many1", "d"),
        RELU,
    ]
    stored = [
        integers("big", 2**50),
        integers("many1", 2**45),
        integers("one1", 1),
        *(
            numpy_helper.from_array(np.array(number, np.int64), name)
            for name, number in (("zero", 0), ("many", 2**45), ("one", 1))
        ),
    ]
    found = imported(model(nodes, {"x": [2]}, stored=stored)).calls
    assert operators((call.raw, call.calls) for call in found) == {"Relu": 1}


def test_attributes_that_crash_the_library_end_in_an_error_and_the_next_file_is_read(
    imported,
) -> None:
    layer = node("LayerNormalization", "x w", "z mean deviation", axis=2**63 - 1)
    crash = model([layer], {"x": [3, 4]}, stored=[weights("w", 4)])
    with contextlib.suppress(InputError):  # of releases of onnx that it does not crash
        imported(crash)
    assert imported(model([RELU], {"x": [2]})).calls


def test_attributes_of_a_wrong_type_leave_an_operator_unknown(imported) -> None:
    proto = model(
        [node("Conv", "x w", "z")], {"x": [1, 3, 8, 8]}, stored=[weights("w", 4, 3, 3, 3)]
    )
    proto.graph.node[0].attribute.add(name="strides", type=AttributeProto.INTS, ints=[0, 2**62])
    [call] = imported(proto).calls
    assert call.raw.name == "onnx::Conv"
    assert translate(call.raw).family in ("unknown", "convolution")


def mutations(seed: int) -> bytes:
    """A model with a few bytes changed, cut out or put in."""
    random_ = random.Random(seed)
    name = random_.choice(["bvlc_alexnet", "zfnet512", "vgg19"])
    content = bytearray(light(name).read_bytes())
    for _ in range(random_.choice((1, 2, 6))):
        place, size = random_.randrange(len(content)), random_.randrange(1, 9)
        kind = random_.randrange(4)
        if kind == 0:
            content[place] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del content[place : place + size]
        elif kind == 2:
            content[place:place] = random_.randbytes(size)
        else:
            content[place : place + size] = b"\xff" * size + b"\x7f"
    return bytes(content)


def test_damaged_models_end_in_calls_or_one_clear_error(imported) -> None:
    outcomes = {"read": 0, "refused": 0}
    for seed in range(200):
        try:
            for call in imported(mutations(seed)).calls:
                translate(call.raw)
            outcomes["read"] += 1
        except InputError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


def test_a_python_that_cannot_load_onnx_is_told(tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ImportError('not there')\n")
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\n"
        "from aimatrix.errors import InputError\n"
        "from aimatrix.importers.onnx import read\n"
        "try:\n"
        "    read(Path('model.onnx'))\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "import onnx" in ended.stdout
    assert not ended.stderr
