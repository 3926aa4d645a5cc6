"""A model's structure without its weights: reads the wire format of an ONNX file, needs no onnx.

What is left is a valid ModelProto, small enough to hand on; the weights are skipped, never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: messages inside messages; protobuf's own readers stop at 100
_DEEPEST = 96
#: fields of one file: a model of a hundred thousand nodes has some two million
_MOST_FIELDS = 10_000_000
#: bytes of structure that are kept of one file
_MOST_KEPT = 64 * 2**20

# How a field is carried over, beside the name of the message in it; all others are left out:
# documentation, metadata, training, names of nodes, references to files of weights.
_AS_IT_IS = ""
_TEXT = "text"
_DATA = "data"
#: an attribute's own data: a list of numbers or texts
_LIST = "list"

_Fields = dict[int, str]
_MODEL: dict[str, _Fields] = {
    # ir_version, graph, opset_import, functions
    "model": {1: _AS_IT_IS, 7: "graph", 8: "opset", 25: "function"},
    # domain, version
    "opset": {1: _TEXT, 2: _AS_IT_IS},
    # node, initializer, input, output, value_info, sparse_initializer
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse_tensor"},
    # name, input, output, attribute, domain, overload; attribute_proto, node, opset_import,
    # value_info
    "function": {
        **dict.fromkeys((1, 4, 5, 6, 10, 13), _TEXT),
        11: "attribute",
        7: "node",
        9: "opset",
        12: "value",
    },
    # input, output, op_type, domain, overload; attribute
    "node": {**dict.fromkeys((1, 2, 4, 7, 8), _TEXT), 5: "attribute"},
    # name, ref_attr_name; f, i, tp, type_protos, type; s, floats, ints, strings; t, tensors; g,
    # graphs; sparse_tensor, sparse_tensors
    "attribute": {
        **dict.fromkeys((1, 21), _TEXT),
        **dict.fromkeys((2, 3, 14, 15, 20), _AS_IT_IS),
        **dict.fromkeys((4, 7, 8, 9), _LIST),
        **dict.fromkeys((5, 10), "tensor"),
        **dict.fromkeys((6, 11), "graph"),
        **dict.fromkeys((22, 23), "sparse_tensor"),
    },
    # dims, data_type; name; segments of data and all the fields that hold them
    "tensor": {
        **dict.fromkeys((1, 2), _AS_IT_IS),
        8: _TEXT,
        **dict.fromkeys((4, 5, 6, 7, 9, 10, 11), _DATA),
    },
    # values, indices, dims
    "sparse_tensor": {1: "tensor", 2: "tensor", 3: _AS_IT_IS},
    # name, type
    "value": {1: _TEXT, 2: _AS_IT_IS},
}

#: lists that a Constant node holds -> the data type of the tensor that it makes of them
_CONSTANT_LISTS = {b"value_floats": 1, b"value_ints": 7, b"value_strings": 8}
_ATTRIBUTE_NAME, _FLOATS, _INTS = 1, 7, 8
_LONGEST_LABEL = max(map(len, _CONSTANT_LISTS))

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def skeleton(source: Any, largest: int = 1024) -> bytes:
    """The ModelProto in ``source`` without the data of tensors and lists beyond ``largest`` bytes.

    source: a bytes-like object, such as a mapped file, of which only the structure is read.
    Tensors keep their dims, data type and name, and their data up to ``largest`` bytes; data in
    other files are forgotten. Documentation, metadata, training and the names of nodes are left
    out. Raises ValueError, with the reason, for what is no protobuf message or has more structure
    than any model.
    """
    with memoryview(source) as view, view.cast("B") as content:
        return b"".join(_Copy(content, largest).message("model", 0, len(content), 0))


class _Copy:
    """One walk through a model; ``message`` gives what is kept of it, in pieces."""

    def __init__(self, content: memoryview, largest: int) -> None:
        self._content = content
        self._largest = largest
        self._fields = 0
        self._kept = 0

    def message(self, name: str, start: int, end: int, depth: int) -> list[bytes]:
        if depth > _DEEPEST:
            raise ValueError(f"its messages are nested more than {_DEEPEST} deep")
        kinds, content = _MODEL[name], self._content
        pieces: list[bytes] = []
        data: list[bytes] = []
        data_size = elements = 0
        label = b""
        for number, wire, begin, value, stop in self._walk(start, end):
            kind = kinds.get(number)
            if kind is None:
                continue
            if kind == _AS_IT_IS:
                pieces.append(self._keep(begin, stop))
            elif kind == _TEXT:
                str(content[value:stop], "utf-8")  # raises a ValueError of its own
                pieces.append(self._keep(begin, stop))
                if number == _ATTRIBUTE_NAME and stop - value <= _LONGEST_LABEL:
                    label = bytes(content[value:stop])
            elif kind in (_DATA, _LIST):
                data_size += stop - value
                if kind == _LIST:
                    elements += _elements(number, wire, content[value:stop])
                if data_size <= self._largest:
                    data.append(self._keep(begin, stop))
            elif wire == _BYTES:
                inner = self.message(kind, value, stop, depth + 1)
                pieces += [_varint(number << 3 | _BYTES), _varint(sum(map(len, inner))), *inner]
        if data_size <= self._largest:
            return pieces + data
        if name == "attribute" and label in _CONSTANT_LISTS:
            return [_tensor_attribute(elements, _CONSTANT_LISTS[label])]
        return pieces

    def _keep(self, start: int, end: int) -> bytes:
        self._kept += end - start
        if self._kept > _MOST_KEPT:
            raise ValueError(f"it holds more than {_MOST_KEPT >> 20} MiB besides its weights")
        return bytes(self._content[start:end])

    def _walk(self, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(number, wire type, start of the field, start of its value, end) of each field."""
        content = self._content
        at = start
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise ValueError(f"it has more than {_MOST_FIELDS} fields")
            begin = at
            tag, at = _read_varint(content, at, end)
            number, wire = tag >> 3, tag & 7
            value = at
            if wire == _VARINT:
                _, at = _read_varint(content, at, end)
            elif wire == _BYTES:
                size, value = _read_varint(content, at, end)
                at = value + size
            elif wire in _FIXED:
                at += _FIXED[wire]
            else:
                raise ValueError(f"a field has the wire type {wire}, which no ONNX model uses")
            if at > end or not 0 < number < 2**29:
                raise ValueError("a field reaches beyond the message that holds it")
            yield number, wire, begin, value, at


def _read_varint(content: memoryview, at: int, end: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends."""
    result = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at
        shift += 7
    raise ValueError("a number in it is cut off")


def _elements(number: int, wire: int, content: memoryview) -> int:
    """How many items of a list are in one field of an attribute."""
    if wire != _BYTES or number not in (_FLOATS, _INTS):
        return 1
    if number == _FLOATS:
        return len(content) // _FIXED[_FIXED32]
    return len(bytes(content).translate(None, bytes(range(128, 256))))  # last bytes of numbers


def _tensor_attribute(elements: int, data_type: int) -> bytes:
    """An attribute ``value`` with a tensor of as many elements, whose data are left out."""
    tensor = b"\x08" + _varint(elements) + b"\x10" + _varint(data_type)  # dims, data_type
    name = b"\x0a\x05value"
    return name + b"\xa0\x01\x04" + b"\x2a" + _varint(len(tensor)) + tensor  # type, t


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
