"""Reads one list of a large JSON file item by item, gzipped or not, within bounded memory.

The items are read by Python's own decoder, which is as fast as a streaming one for items of the
size of an event, and tolerates what tracers write: broken UTF-8 and control characters in names.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from aimatrix.errors import InputError

#: characters of one item, or of blanks on end, in text; the largest known have a third
LONGEST_ITEM = 4 << 20
#: bytes of a whole file, unpacked
LARGEST_FILE = 8 << 30
#: a packed file may unpack to so many times its size; traces reach 20 to 40, deflate itself 1032
MOST_PACKED = 100
#: bytes that any file may unpack to
SMALL_FILE = 16 << 20

_CHUNK = 1 << 18
_LONGEST_WORD = 16  # "-Infinity", and an escape
_GZIP = b"\x1f\x8b"
_BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass(slots=True)
class ListStream:
    """The items of the list called ``name`` in a JSON object, or of a list that is the whole file.

    what, mend: how a damaged file is called, and what the user can do. wanted: fields beside the
    list to be kept in ``fields``, as far as the file has been read; lists are not kept. found:
    whether there was such a list. Iterating raises InputError for a file that cannot be read, is
    no whole JSON, or is larger or deeper than a file of its kind ever is.
    """

    path: Path
    name: str
    what: str
    mend: str
    wanted: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    found: bool = False

    def __iter__(self) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file:
                yield from self._items(_Text(_Bytes(file)))
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
                reason = f"cannot be read: {error.strerror or error}"
            else:
                reason = self._damaged
            raise InputError(f"{self.path}: {reason}") from error
        except RecursionError as error:
            raise InputError(f"{self.path}: is nested too deeply for a {self.what}") from error
        except _TooLargeError as error:
            raise InputError(f"{self.path}: {error}; {self.mend}") from error
        except ValueError as error:
            raise InputError(f"{self.path}: {self._damaged}") from error

    @property
    def _damaged(self) -> str:
        return f"is not a whole {self.what}; {self.mend}"

    def _items(self, text: _Text) -> Iterator[Any]:
        first = text.peek()
        if first == "[":
            self.found = True
            yield from text.items()
        elif first == "{":
            yield from self._items_of_object(text)
        else:
            text.value()
        if text.peek():
            raise ValueError("there is more behind the end")

    def _items_of_object(self, text: _Text) -> Iterator[Any]:
        for key in text.object_keys():
            if text.peek() != "[":
                value = text.value()
                if key in self.wanted:
                    self.fields[key] = value
            elif key == self.name:
                self.found = True
                yield from text.items()
            else:
                for _ in text.items():
                    pass


class _TooLargeError(Exception):
    """The file is larger than one of its kind; the message says what of it."""


class _Bytes:
    """The bytes of a file, unpacked where it is packed, up to the limits."""

    def __init__(self, file: IO[bytes]) -> None:
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        self._source = gzip.GzipFile(fileobj=file) if is_packed else file
        self._read = 0
        self._most = LARGEST_FILE
        if is_packed:
            packed = os.fstat(file.fileno()).st_size
            self._most = min(LARGEST_FILE, max(SMALL_FILE, packed * MOST_PACKED))

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._read += len(data)
        if self._read > self._most:
            raise _TooLargeError(f"holds more than {self._most >> 20} MiB of text")
        return data


def _short_int(digits: str) -> int | None:
    """A number, None in place of one that Python refuses to read for its length."""
    try:
        return int(digits)
    except ValueError:
        return None


_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
_SLOW_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None, parse_int=_short_int)


def _decode(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at a place, and where it ends; JSONDecodeError where there is none.

    No finite number (NaN, Infinity, thousands of digits) is None.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _SLOW_DECODER.raw_decode(text, at)


def _may_be_cut_off(error: json.JSONDecodeError) -> bool:
    """Whether more text could mend it: it is a string without an end, or at the end."""
    return error.msg.startswith("Unterminated") or error.pos > len(error.doc) - _LONGEST_WORD


class _Text:
    """The text of a file and a place in it; raises ValueError where it is no JSON."""

    def __init__(self, source: _Bytes) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._text = ""
        self._at = 0
        self._is_over = False

    def peek(self) -> str:
        """The next character that is no blank; none at the end."""
        blanks = 0
        while True:
            end = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]
            blanks += end - self._at
            self._at = end
            if self._at < len(self._text):
                return self._text[self._at]
            if blanks > LONGEST_ITEM:
                raise _TooLargeError(f"holds more than {LONGEST_ITEM >> 20} MiB of blanks on end")
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that comes next."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
                is_whole = end < len(self._text) or self._is_over
            except json.JSONDecodeError as error:
                if self._is_over or not _may_be_cut_off(error):
                    raise
                is_whole = False
            if is_whole:
                self._at = end
                return value
            if len(self._text) - self._at >= LONGEST_ITEM:
                raise _TooLargeError(
                    f"holds an entry that does not end within {LONGEST_ITEM >> 20} MiB"
                )
            self._more()

    def items(self) -> Iterator[Any]:
        """The items of the list that comes next, and the place behind it."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def object_keys(self) -> Iterator[str]:
        """The keys of the object that comes next; each value is to be read before the next key."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            if self.peek() != '"':
                raise ValueError("a key is no text")
            key = str(self.value())
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            raise ValueError(f"{found!r} in place of {expected!r}")
        self._at += 1
        return found

    def _more(self) -> bool:
        """Read on, as much again as there is; whether there was more."""
        if self._is_over:
            return False
        rest = self._text[self._at :]
        data = self._source.read(max(_CHUNK, len(rest)))
        self._is_over = not data
        self._text = rest + self._decoder.decode(data, final=self._is_over)
        self._at = 0
        return len(self._text) > len(rest) or not self._is_over
