"""Damages files in the ways that files get damaged, and in those that an attacker would try."""

from __future__ import annotations

import gzip
import random
import re
from typing import Any

#: numbers at which readers break: the ends of what words of the usual lengths hold, and beyond
NUMBERS = (
    b"0", b"-1", b"1", b"255", b"2147483647", b"2147483648", b"-2147483649", b"4294967296",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1e308", b"1e999",
    b"-1e999", b"0.5", b"NaN", b"Infinity", b"9" * 400, b"1" * 5000, b"null", b"true", b"[]", b"{}",
    b'""', b'"x"', b"[[]]", b'{"a":1}',
)  # fmt: skip
#: bytes that mean something in protobuf, in Parquet's footer, or in text
BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x08, 0x0A, 0x12, 0x22, 0x2A, 0x3A, ord("{"), ord("["))

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TOKEN = re.compile(rb'"[^"]{0,60}"|-?\d+|[\[\]{},:]')


def mutated_message(message: Any, choose: random.Random) -> bytes:
    """A protobuf message with one to eight fields changed, so that it is still one."""
    changed = type(message)()
    changed.CopyFrom(message)
    for _ in range(choose.choice((1, 1, 2, 3, 8))):
        _change_field(changed, choose)
    return bytes(changed.SerializeToString())


def _change_field(message: Any, choose: random.Random) -> None:
    """Go down by chance, and give a field another value, another place, or none."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = choose.choice(fields)
    inside = field.type == field.TYPE_MESSAGE
    repeated = not isinstance(value, (bytes, str)) and hasattr(value, "__len__")
    if repeated and choose.random() < (0.3 if inside else 1):
        _change_list(value, field, choose)
    elif inside:
        _change_field(choose.choice(value) if repeated else value, choose)
    else:
        setattr(message, field.name, _other(value, field, choose))


def _change_list(values: Any, field: Any, choose: random.Random) -> None:
    place = choose.randrange(len(values))
    what = choose.choice(("drop", "again", "swap", "other"))
    if what == "drop":
        del values[place]
    elif field.type == field.TYPE_MESSAGE:
        # a node before the one that it reads, a node twice
        copy = type(values[place])()
        copy.CopyFrom(values[place if what == "again" else choose.randrange(len(values))])
        values.insert(choose.randrange(len(values) + 1), copy)
    elif what == "again":
        values.extend([values[place]] * choose.choice((1, 10, 1000)))
    else:
        another = values[choose.randrange(len(values))]
        values[place] = another if what == "swap" else _other(another, field, choose)


def _other(value: Any, field: Any, choose: random.Random) -> Any:
    if isinstance(value, (bytes, str)):
        words = ("", "x", "y", "w", "Conv", "Loop", "NOTSET", "a" * 5000)
        word = choose.choice(words)
        return word if isinstance(value, str) else word.encode()
    if isinstance(value, float):
        return choose.choice((0.0, -1.0, float("inf"), float("nan")))
    if field.type == field.TYPE_ENUM:
        return choose.choice(field.enum_type.values).number
    bits = 31 if field.type == field.TYPE_INT32 else 63
    return choose.choice((0, 1, -1, 2, 3, 7, 1000, 2**20, 2**31 - 1, 2**bits - 1, -(2**bits)))


def mutated(content: bytes, others: list[bytes], choose: random.Random) -> bytes:
    """``content`` with one to eight damages; ``others`` are files to take pieces from.

    A gzipped file is damaged either as it is or inside.
    """
    if content[:2] == b"\x1f\x8b" and choose.random() < 0.8:
        inside = mutated(gzip.decompress(content), others, choose)
        return gzip.compress(inside, compresslevel=1)
    for _ in range(choose.choice((1, 1, 1, 2, 3, 8))):
        content = choose.choice(_DAMAGES)(content, others, choose)
    return content


def _flipped(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(choose.choice((1, 1, 4, 32))):
        if damaged:
            damaged[choose.randrange(len(damaged))] ^= 1 << choose.randrange(8)
    return bytes(damaged)


def _replaced(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    damaged = bytearray(content)
    if damaged:
        place = choose.randrange(len(damaged))
        length = choose.choice((1, 1, 2, 4, 8))
        damaged[place : place + length] = bytes(choose.choice(BYTES) for _ in range(length))
    return bytes(damaged)


def _cut(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    return content[: choose.randrange(len(content) + 1)]


def _without_piece(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    begin, end = _piece(content, choose)
    return content[:begin] + content[end:]


def _with_piece_again(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    begin, end = _piece(content, choose)
    times = choose.choice((1, 2, 50))
    return content[:end] + content[begin:end] * times + content[end:]


def _with_piece_of_another(content: bytes, others: list[bytes], choose: random.Random) -> bytes:
    other = choose.choice(others)
    begin, end = _piece(other, choose)
    place = choose.randrange(len(content) + 1)
    return content[:place] + other[begin:end] + content[place:]


def _with_other_number(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    return _exchanged(content, _NUMBER, choose.choice(NUMBERS), choose)


def _with_other_token(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    return _exchanged(content, _TOKEN, choose.choice((*NUMBERS, b",", b"[", b"{", b"")), choose)


def _with_deep_nesting(content: bytes, _: list[bytes], choose: random.Random) -> bytes:
    depth = choose.choice((10, 100, 10_000))
    opening, closing = choose.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"\x3a\x7f\x0a\x7f", b"")))
    return _exchanged(content, _TOKEN, opening * depth + b"1" + closing * depth, choose)


def _exchanged(content: bytes, what: re.Pattern[bytes], by: bytes, choose: random.Random) -> bytes:
    """``content`` with a match at a place of chance in other words; binary files may have none."""
    start = choose.randrange(len(content) + 1)
    match = what.search(content, start) or what.search(content)
    if match is None:
        return content
    return content[: match.start()] + by + content[match.end() :]


def _piece(content: bytes, choose: random.Random) -> tuple[int, int]:
    begin = choose.randrange(len(content) + 1)
    length = choose.choice((1, 2, 8, 64, 1024))
    return begin, min(begin + length, len(content))


_DAMAGES = (
    _flipped,
    _replaced,
    _cut,
    _without_piece,
    _with_piece_again,
    _with_piece_of_another,
    _with_other_number,
    _with_other_number,
    _with_other_token,
    _with_deep_nesting,
)
