"""Traces that are damaged, forged or far too large: a sentence or a result, in bounded memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from execution_traces import NodeMaker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kineto_traces import TraceMaker, convolution

from aimatrix.dialects import aten
from aimatrix.errors import InputError
from aimatrix.importers import execution_trace, kineto
from aimatrix.importers.imported import Imported

Read = Callable[[Path], Imported]


def read_execution_trace(path: Path) -> Imported:
    return execution_trace.read(path, aten.ATTRIBUTES)


def read_kineto(path: Path) -> Imported:
    return kineto.read_calls(path, aten.ATTRIBUTES)


def small_execution_trace() -> bytes:
    trace = NodeMaker()
    with trace.range("autograd::engine::evaluate_function: MmBackward0"):
        trace.relu(3, 4)
    with trace.operator(
        "aten::conv2d",
        "aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1) -> T",
        NodeMaker.tensor(1, 3, 8, 8),
        NodeMaker.tensor(4, 3, 3, 3, dtype="c10::Half"),
        ("<None>", [], "None"),
        ([1, 1], [[], []], "GenericList[Int,Int]"),
    ):
        trace.relu(3)
    return trace.text().encode()


def small_kineto_trace() -> bytes:
    trace = TraceMaker()
    convolution(trace, grid=[16, 2, 1])
    return json.dumps({"schemaVersion": 1, "traceEvents": trace.events}).encode()


READERS = [
    pytest.param(read_execution_trace, small_execution_trace(), id="execution trace"),
    pytest.param(read_kineto, small_kineto_trace(), id="kineto"),
]


def outcome(read: Read, path: Path) -> Imported | str:
    """What reading gives: calls that make sense to a dialect, or one sentence."""
    try:
        imported = read(path)
    except InputError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message
    for call in imported.calls:
        aten.translate(call.raw)
        assert call.calls > 0
    return imported


@pytest.mark.parametrize(("read", "content"), READERS)
def test_a_truncated_file_is_told_wherever_it_ends(
    read: Read, content: bytes, tmp_path: Path
) -> None:
    whole, packed = tmp_path / "whole.json", gzip.compress(content)
    whole.write_bytes(content)
    assert isinstance(outcome(read, whole), Imported)
    cut = tmp_path / "cut.json"
    for length in range(0, len(content), 37):
        cut.write_bytes(content[:length])
        assert "is not a whole" in str(outcome(read, cut))
    for length in range(3, len(packed), 11):
        cut.write_bytes(packed[:length])
        assert "is not a whole" in str(outcome(read, cut))


@pytest.mark.parametrize(("read", "content"), READERS)
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_changed_bytes_end_in_a_result_or_a_sentence(
    read: Read, content: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "changed.json"
    path.write_bytes(bytes(changed))
    outcome(read, path)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["Tensor(float)", "GenericList[", "aten::mm", "GenericList[Tensor(float),Int]"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(("read", "content"), READERS)
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_values_of_a_wrong_kind_are_odd_at_most(
    read: Read, content: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    document = json.loads(content)
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(list(places(document))))
        holder[key] = data.draw(JSON_VALUES)
    path = tmp_path / "forged.json"
    path.write_text(json.dumps(document))
    outcome(read, path)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document at which a value stands."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(entries):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from places(value)


@pytest.mark.parametrize(("read", "content"), READERS)
def test_a_name_may_hold_broken_text(read: Read, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(content.replace(b"aten::relu", b"k\xff\x01\xc3").replace(b"python", b"\xfe"))
    assert isinstance(outcome(read, path), Imported)


@pytest.mark.parametrize("read", [read_execution_trace, read_kineto])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"nodes":[' + b'{"a":' * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (b'{"nodes":["' + b"a" * (12 << 20), "does not end within"),
        (b'{"traceEvents":[[' + b"[]," * (4 << 20), "does not end within"),
        (b" " * (6 << 20), "blanks"),
        (bytes(6 << 20), "is not a whole"),
        (b'{"nodes": [], "nodes": 7, "traceEvents": []} 7', "is not a whole"),
        (b"", "is not a whole"),
        (b"{7: []}", "is not a whole"),
        (b'{"nodes" []}', "is not a whole"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_what_no_tracer_writes_is_told_in_one_sentence(
    read: Read, content: bytes, says: str, packed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(gzip.compress(content) if packed and content else content)
    assert says in str(outcome(read, path))


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1e999", "NaN", "-Infinity", str(2**80)])
def test_numbers_beyond_all_bounds_make_an_entry_odd(number: str, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.json"
    node = '{"id": %s, "name": "aten::relu", "ctrl_deps": 1, "inputs": [], "attrs": []}'
    nodes.write_text(f'{{"schema": "1.1.1", "nodes": [{node % number}, {node % 5}]}}')
    found = read_execution_trace(nodes)
    assert (found.odd, sum(call.calls for call in found.calls)) == (1, 1)
    events = tmp_path / "events.json"
    event = '{"cat": "cpu_op", "name": "aten::relu", "pid": 1, "tid": 1, "ts": %s, "dur": 1}'
    events.write_text(f"[{event % number}, {event % 5}]")
    found = read_kineto(events)
    assert found.odd + sum(call.calls for call in found.calls) == 2


def test_circles_and_numbers_that_come_twice_are_odd(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    relu = {"name": "aten::relu", "inputs": [], "attrs": []}
    callers = {2: 3, 3: 4, 4: 2, 5: 4, 6: 6, 7: 6, 8: 404}
    nodes = [{"id": number, "ctrl_deps": caller, **relu} for number, caller in callers.items()]
    path.write_text(json.dumps({"schema": "1.1.1", "nodes": [*nodes, nodes[4]]}))
    found = read_execution_trace(path)
    assert found.odd == 5  # three in the circle, one that leads into it, one that comes twice
    # 7 is inside of 6; what is missing is no operator that is known of
    assert sum(call.calls for call in found.calls) == 2


def test_a_long_chain_of_callers_takes_no_recursion(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    nodes = [
        {"id": number, "name": "aten::relu", "ctrl_deps": number - 1, "inputs": [], "attrs": []}
        for number in range(1, 100_000)
    ]
    path.write_text(json.dumps({"schema": "1.1.1", "nodes": nodes}))
    assert [call.calls for call in read_execution_trace(path).calls] == [1]


def bomb(path: Path, head: bytes, body: bytes, mebibytes: int) -> Path:
    """A gz file that unpacks to so much of ``body``, written without ever holding it."""
    packer = zlib.compressobj(9, wbits=31)
    block = body * (-(-(1 << 20) // len(body)))
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(mebibytes):
            file.write(packer.compress(block))
        file.write(packer.flush())
    return path


NODE = b'{"id":%d,"name":"aten::relu","ctrl_deps":1,"inputs":[],"attrs":[]},'
EVENT = b'{"cat":"cpu_op","name":"aten::relu","pid":1,"tid":1,"ts":5,"dur":1},'


@pytest.mark.parametrize(
    ("importer", "head", "body"),
    [
        ("execution_trace.read", b'{"schema":"1.1.1","nodes":[', NODE % 7),
        ("kineto.read_calls", b'{"traceEvents":[', EVENT),
        ("kineto.read_calls", b'{"traceEvents":[', b" "),
        ("execution_trace.read", b'{"a":"', b"a"),
        ("kineto.read_calls", b"", b"\0"),
    ],
    ids=["nodes", "events", "blanks", "text", "zeros"],
)
def test_a_bomb_ends_soon_and_within_bounds_of_memory(
    importer: str, head: bytes, body: bytes, tmp_path: Path
) -> None:
    """Each unpacks to a thousand times its size; a process of its own reads it."""
    path = bomb(tmp_path / "bomb.json.gz", head, body, mebibytes=64)
    program = f"""
        import resource, sys
        from pathlib import Path
        from aimatrix.errors import InputError
        from aimatrix.importers import execution_trace, kineto

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            {importer}(Path(sys.argv[1]), {{}}, lambda name: ())
        except InputError as error:
            print(error)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    message, grown = run.stdout.splitlines()
    assert message.startswith(f"{path}: ")
    assert int(grown) < 256, "MiB"
