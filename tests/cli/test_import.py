"""`aimatrix import` as its user sees it: what is logged, what is told, and what a bad file does."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import aimatrix

from aimatrix.store.workload import WorkloadStore

onnx = pytest.importorskip("onnx")

#: a matrix product of any batch, and one of a size without a name
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
network (float[batch,?,4] x, float[4,6] w) => (float[batch,a,6] y) { y = MatMul(x, w) }"""
#: an execution trace of one product
TRACE = {
    "schema": "1.1.1-chakra.0.0.4",
    "pid": 1,
    "nodes": [
        {
            "id": 1,
            "name": "[pytorch|profiler|execution_trace|process]",
            "ctrl_deps": 1,
            "inputs": {"values": [], "shapes": [], "types": []},
            "outputs": {"values": [], "shapes": [], "types": []},
            "attrs": [],
        },
        {
            "id": 2,
            "name": "aten::mm",
            "ctrl_deps": 1,
            "inputs": {
                "values": [[3, 4, 0, 6, 4, "cpu"], [5, 6, 0, 12, 4, "cpu"]],
                "shapes": [[2, 3], [3, 4]],
                "types": ["Tensor(float)", "Tensor(float)"],
            },
            "outputs": {"values": [[7, 8, 0, 8, 4, "cpu"]], "shapes": [[2, 4]], "types": []},
            "attrs": [
                {
                    "name": "op_schema",
                    "type": "string",
                    "value": "aten::mm(Tensor self, Tensor mat2) -> Tensor",
                }
            ],
        },
    ],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "shop.v2.onnx"
    path.write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    return path


def test_a_model_is_logged_with_the_sizes_that_are_given(tmp_path: Path, model: Path) -> None:
    sizes = ("--dim", "batch=8", "--dim", "x.1=5")
    ended = aimatrix("import", model, *sizes, "--calls", "3", "--json", folder=tmp_path)
    (file,) = ended.document()["files"]
    assert (file["app"], file["format"]) == ("shop", "ONNX model")
    assert (file["calls"], file["macs"], file["unknown"]) == (3, 3 * 8 * 5 * 4 * 6, {})
    (record,) = WorkloadStore(tmp_path / "aimatrix-store").totals()
    assert (record.app, record.source, record.calls) == ("shop", "onnx", 3)
    assert (record.name, record.call.family) == ("onnx::MatMul", "matmul")


def test_a_missing_size_is_told_with_the_mend_and_nothing_is_logged(
    tmp_path: Path, model: Path
) -> None:
    trace = tmp_path / "good.json"
    trace.write_text(json.dumps(TRACE))
    ended = aimatrix("import", trace, model, folder=tmp_path)
    told = ended.refusal()
    assert told.startswith(f"{model}: input 'x'")
    assert "--dim batch=1" in told
    assert not (tmp_path / "aimatrix-store").exists()


def test_a_trace_is_told_by_its_content_gzipped_or_not(tmp_path: Path) -> None:
    plain, packed = tmp_path / "step", tmp_path / "step.dat"
    plain.write_text(json.dumps(TRACE))
    packed.write_bytes(gzip.compress(json.dumps(TRACE).encode()))
    ended = aimatrix("import", plain, packed, "--app", "trainer", "--json", folder=tmp_path)
    files = ended.document()["files"]
    assert [file["format"] for file in files] == ["execution trace"] * 2
    (record,) = WorkloadStore(tmp_path / "aimatrix-store").totals()
    assert (record.app, record.source, record.calls) == ("trainer", "torch", 2)
    assert record.call["m"] * record.call["n"] * record.call["k"] == 24


def test_a_newer_schema_is_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    path.write_text(json.dumps({**TRACE, "schema": "2.0.0-chakra.1.0.0"}))
    ended = aimatrix("import", path, folder=tmp_path)
    assert ended.code == 0
    assert ended.err.startswith(f"aimatrix: {path}: ")
    assert "2.0.0" in ended.err
    assert ended.err.count(str(path)) == 1
    assert ended.err.count("\n") == 1


def test_entries_that_are_passed_over_are_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({**TRACE, "nodes": [*TRACE["nodes"], {"id": 3}, 7]}))
    ended = aimatrix("import", path, folder=tmp_path)
    assert (ended.code, ended.err) == (
        0,
        f"aimatrix: {path}: 2 entries were passed over, since they lack what their kind has\n",
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"some text", "is not an ONNX model"),
        (b'{"a": 1}', "neither"),
        (b"\x1f\x8b\x08\x00broken", "is damaged"),
        (b"PK\x03\x04archive", "unpack it"),
        # Without a time of writing: pytest's workers have to name the cases alike.
        (gzip.compress(b"\x08\x08model", mtime=0), "unpack it"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzipped twice"),
        ('{"nodes": []}'.encode("utf-16"), "save it as UTF-8"),
        (b'{"schema": "1.1.1-chakra.0.0.4", "nodes": []}', "holds no operator calls"),
        (b'{"schemaVersion": 1, "traceEvents": []}', "holds no operator calls"),
    ],
)
def test_a_bad_file_ends_in_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    ended = aimatrix("import", path, folder=tmp_path)
    assert ended.refusal().startswith(f"{path}: ")
    assert told in ended.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--dim", "batch"), "--dim: 'batch'"),
        (("--dim", "batch=0"), "--dim: 'batch=0'"),
        (("--dim", "batch=8", "--dim", "x.1=2", "--dim", "time=2"), "time"),
        (("--dim", "batch=8", "--dim", "x.1=2", "--calls", "0"), "calls"),
    ],
)
def test_wrong_options_are_told(
    tmp_path: Path, model: Path, options: tuple[str, ...], told: str
) -> None:
    ended = aimatrix("import", model, *options, folder=tmp_path)
    assert told in ended.refusal()
    assert not (tmp_path / "aimatrix-store").exists()


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert aimatrix("import", path, folder=tmp_path).refusal().startswith(f"{path}: is no regular")


LOOP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[4,4] x) => (float[4,4] y) <int64 n = {4611686018427387904}, bool c = {1}> {
    y = Loop(n, c, x) <body = b (int64 i, bool ci, float[4,4] s) => (bool co, float[4,4] so) {
        co = Identity(ci)
        so = MatMul(s, s)
    }>
}"""


def test_more_calls_than_a_log_holds_are_told_of_their_file(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "loop.onnx"
    path.write_bytes(onnx.parser.parse_model(LOOP).SerializeToString())
    sizes = ("--dim", "batch=8", "--dim", "x.1=5")
    ended = aimatrix("import", path, folder=tmp_path)
    assert ended.refusal().startswith(f"{path}: calls operators more than")
    assert not (tmp_path / "aimatrix-store").exists()
    ended = aimatrix("import", model, *sizes, "--calls", str(2**40), folder=tmp_path)
    assert ended.code == 0


def kineto_product(rows: int) -> bytes:
    """A Kineto trace of a product of ``rows`` x 3 by 3 x 4."""
    args = {
        "Input Dims": [[rows, 3], [3, 4]],
        "Input type": ["float", "float"],
        "Input Strides": [[3, 1], [4, 1]],
        "Concrete Inputs": ["", ""],
    }
    event = {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": 1, "dur": 5}
    return json.dumps({"schemaVersion": 1, "traceEvents": [{**event, "args": args}]}).encode()


def execution_trace_product(rows: int) -> bytes:
    root, product = TRACE["nodes"]
    inputs = {**product["inputs"], "shapes": [[rows, 3], [3, 4]]}
    return json.dumps({**TRACE, "nodes": [root, {**product, "inputs": inputs}]}).encode()


@pytest.mark.parametrize("product", [kineto_product, execution_trace_product])
@pytest.mark.parametrize(("rows", "known"), [(2, True), (2**53, False), (2**70, False)])
def test_a_shape_that_no_tensor_has_leaves_the_call_unknown(
    tmp_path: Path, product: Callable[[int], bytes], rows: int, known: bool
) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(product(rows))
    ended = aimatrix("import", path, "--json", folder=tmp_path)
    (file,) = ended.document()["files"]
    assert file["macs"] == (2 * 3 * 4 if known else 0)
    assert file["unknown"] == ({} if known else {"aten::mm": 1})
    assert [text.startswith("of 1 calls") for text in file["warnings"]] == [True] * (not known)
