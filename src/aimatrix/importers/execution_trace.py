"""Reads an execution trace of PyTorch (torch.profiler.ExecutionTraceObserver, Chakra).

Nodes are ranges and operators, each with the number of the node that it is inside. Those of
schema 1.0.2 and above keep inputs as ``{"values", "shapes", "types"}`` and the rest in ``attrs``;
those before keep all in fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aimatrix.dialects.raw import RawCall
from aimatrix.errors import InputError
from aimatrix.importers.call_tree import CallTree, Kind, kind_of_range
from aimatrix.importers.imported import Imported, TracedCall
from aimatrix.importers.json_stream import ListStream
from aimatrix.importers.node_arguments import (
    Signature,
    is_without_data,
    overload_of,
    signature_of,
)
from aimatrix.importers.schemas import SchemaLookup, installed_schemas, parse_schema

#: the newest schema that is known, without what Chakra adds to it
NEWEST = (1, 1, 1)
#: nodes, and numbers and texts in different calls, that a trace may hold
MOST_NODES = 10_000_000
MOST_VALUES = 5_000_000

_OPERATOR = re.compile(r"(?!profiler::)[A-Za-z_]\w*::[A-Za-z_]\w*")
_FUNCTION = 0  # RecordScope
#: names of nodes that stand for a process or a thread
_ROOTS = ("[pytorch|profiler|execution_trace|", "__ROOT_")
_MEND = "record it again, and end with ExecutionTraceObserver.unregister_callback()"


def read(
    path: Path,
    attributes: Mapping[str, Sequence[str]],
    schemas: SchemaLookup = installed_schemas,
) -> Imported:
    """The outermost operators of a trace file, gzipped or not, as a capture would count them.

    attributes: operator name -> arguments besides tensors to keep. schemas: asked for operators
    of which the trace itself holds no schema. Raises InputError for a file that is no whole trace,
    or a larger one than is sensible.
    """
    stream = ListStream(path, "nodes", "PyTorch execution trace", _MEND, wanted=("schema",))
    reader = _Reader(attributes, schemas)
    for node in stream:
        reader.add(node)
        if len(reader.tree) > MOST_NODES or reader.values > MOST_VALUES:
            raise InputError(
                f"{path}: holds more operators than are read at once; record fewer steps"
            )
    if not stream.found:
        raise InputError(
            f"{path}: has no nodes; record a trace with torch.profiler.ExecutionTraceObserver"
        )
    return reader.imported(stream.fields.get("schema"))


class _Reader:
    """Takes in one node after the other."""

    def __init__(self, attributes: Mapping[str, Sequence[str]], schemas: SchemaLookup) -> None:
        self.tree: CallTree[tuple[str, Signature | None]] = CallTree()
        self.values = 0
        self._attributes = attributes
        self._schemas = schemas
        self._odd = 0

    def add(self, node: Any) -> None:
        """Take in a node; one that lacks what a node has is odd."""
        try:
            self._add(_Node(node))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            self._odd += 1

    def _add(self, node: _Node) -> None:
        place = (node.number, node.parent, node.thread)
        if not node.is_operator:
            is_root = node.name.startswith(_ROOTS)
            self.tree.add(*place, Kind.ROOT if is_root else kind_of_range(node.name))
        elif is_without_data(node):
            self.tree.add(*place, Kind.RANGE)
        else:
            kind = Kind.OPERATOR | (Kind.GRAD if node.sequence >= 0 else Kind.RANGE)
            call = (node.name, self._signature(node))
            if self.tree.add(*place, kind, call):
                self.values += _size(call)

    def _signature(self, node: _Node) -> Signature | None:
        try:
            schema = parse_schema(node.schema) or overload_of(node, self._schemas(node.name))
            return signature_of(node, schema, self._attributes.get(node.name, ()))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def imported(self, schema: Any) -> Imported:
        """All that was taken in."""
        found = self.tree.outermost()
        calls, unread = [], 0
        for ((name, signature), phase), count in found.calls.items():
            overload, items = signature or ("", ())
            unread += count if signature is None else 0
            calls.append(TracedCall(RawCall(name, dict(items), overload, phase), count))
        warnings = _schema_warnings(schema)
        if unread:
            warnings.append(f"of {unread} calls only the name could be read")
        if found.orphans:
            warnings.append(
                f"{found.orphans} calls are inside of nodes that are not in the trace, and"
                " count as outermost ones; the recording began or ended inside of them"
            )
        return Imported(calls, warnings, self._odd + found.odd)


class _Node:
    """A node in either form. Raises what reading a wrong one raises."""

    def __init__(self, node: Any) -> None:
        attrs = _attrs(node)
        self.number = _whole(node["id"])
        self.name = _text(node["name"])
        self.parent = _whole(node["ctrl_deps"] if "ctrl_deps" in node else node["parent"])
        self.schema = _text(attrs.get("op_schema", ""))
        self.thread = _whole(attrs.get("tid", 0))
        self.sequence = _whole(attrs.get("seq_id", -1))
        self.is_operator = (
            attrs.get("scope", _FUNCTION) == _FUNCTION
            and _OPERATOR.fullmatch(self.name) is not None
            and ("op_schema" not in attrs or self.schema != "")
        )
        inputs = node.get("inputs", [])
        if isinstance(inputs, dict):
            self.values, self.shapes, self.types = (
                inputs[column] for column in ("values", "shapes", "types")
            )
        else:
            self.values = inputs
            self.shapes, self.types = node.get("input_shapes", []), node.get("input_types", [])


def _attrs(node: Any) -> Mapping[str, Any]:
    if "attrs" not in node:
        return node  # type: ignore[no-any-return]
    return {attr["name"]: attr["value"] for attr in node["attrs"]}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"no whole number: {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _size(value: Any) -> int:
    """How many values are in a tuple of tuples, about."""
    if isinstance(value, tuple):
        return 1 + sum(map(_size, value))
    return 1 + len(getattr(value, "shape", ()))


def _schema_warnings(schema: Any) -> list[str]:
    """A sentence on a version that is not known; none for one that is."""
    version = (
        re.match(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", schema)
        if isinstance(schema, str)
        else None
    )
    if version is None:
        return ["does not say which version of the format it has"]
    if tuple(int(part or 0) for part in version.groups()) <= NEWEST:
        return []
    newest = ".".join(map(str, NEWEST))
    return [
        f"has version {schema[:40]!r} of the format, the newest known here is {newest}:"
        " what is new in it is passed over"
    ]
