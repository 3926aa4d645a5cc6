"""What a store holds, told without its signatures: periods, applications, hosts, rows, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from aimatrix.store import files
from aimatrix.store.pair_schema import PAIRS
from aimatrix.store.schema import LOG
from aimatrix.store.table_kind import TableKind, window_ends


@dataclass(frozen=True, slots=True)
class Holding:
    """What the store has of an application or of a host."""

    name: str
    rows: int
    calls: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a store holds.

    first, last: start of the first window and end of the last one; None of an empty store. dates:
    how many UTC dates have windows. unknown_calls: calls of operators that no family knows.
    """

    root: Path
    first: datetime | None
    last: datetime | None
    dates: int
    files: int
    bytes: int
    rows: int
    pair_rows: int
    calls: int
    unknown_calls: int
    estimated_calls: int
    applications: tuple[Holding, ...]
    hosts: tuple[Holding, ...]


def info(root: str | Path) -> Summary:
    """Go through a store, file by file. Raises InputError as `files.folders` and `files.load`."""
    folder = Path(root)
    return files.steadily(folder, lambda: _summarize(folder))


def _summarize(root: Path) -> Summary:
    counted = _Counted()
    for folder in files.folders(root):
        before = counted.rows
        for table, size in _tables(folder, LOG):
            counted.add(table)
            counted.files, counted.bytes = counted.files + 1, counted.bytes + size
        for table, size in _tables(folder, PAIRS):
            counted.pair_rows += table.num_rows
            counted.files, counted.bytes = counted.files + 1, counted.bytes + size
        counted.dates += int(counted.rows > before)
    return counted.summary(root)


def _tables(folder: Path, kind: TableKind) -> Iterator[tuple[pa.Table, int]]:
    for part in files.parts(folder, kind):
        table = files.load(part, kind)
        if table is not None:
            yield table, part.path.stat().st_size


class _Counted:
    """The sums so far."""

    def __init__(self) -> None:
        self.files = self.bytes = self.rows = self.pair_rows = self.dates = 0
        self._calls = self._unknown = self._estimated = 0
        self._applications, self._hosts = _Holdings("app"), _Holdings("host")
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, table: pa.Table) -> None:
        """A file's rows of the log."""
        if not table.num_rows:
            return
        self.rows += table.num_rows
        self._calls += pc.sum(table["calls"]).as_py()
        self._estimated += pc.sum(table["estimated_calls"]).as_py()
        unknown = table.filter(pc.equal(table["family"], "unknown"))
        self._unknown += pc.sum(unknown["calls"]).as_py() or 0
        self._applications.add(table)
        self._hosts.add(table)
        first = pc.min(table["window_start"]).as_py().astimezone(UTC)
        last = pc.max(window_ends(table)).as_py().astimezone(UTC)
        self._first = min(self._first or first, first)
        self._last = max(self._last or last, last)

    def summary(self, root: Path) -> Summary:
        """What it all comes to."""
        return Summary(
            root=root,
            first=self._first,
            last=self._last,
            dates=self.dates,
            files=self.files,
            bytes=self.bytes,
            rows=self.rows,
            pair_rows=self.pair_rows,
            calls=self._calls,
            unknown_calls=self._unknown,
            estimated_calls=self._estimated,
            applications=self._applications.all(),
            hosts=self._hosts.all(),
        )


class _Holdings:
    """Rows and calls by the values of a column."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._rows: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()

    def add(self, table: pa.Table) -> None:
        sums = table.group_by(self._column).aggregate([("calls", "sum"), ("calls", "count")])
        for row in sums.to_pylist():
            self._rows[row[self._column]] += row["calls_count"]
            self._calls[row[self._column]] += row["calls_sum"]

    def all(self) -> tuple[Holding, ...]:
        """Those with the most calls first."""
        ordered = sorted(self._calls.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Holding(name, self._rows[name], calls) for name, calls in ordered)
