"""One run's part of the workload log: windows of an hour share a file, which grows.

A service that runs for weeks would else leave a small file a minute, and reading would be mostly
the opening of files. The file is whole at any time: each window replaces it by a longer one, in
one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.store import files, pair_schema, schema
from aimatrix.store.pair_schema import PAIRS
from aimatrix.store.schema import LOG
from aimatrix.store.table_kind import TableKind
from aimatrix.store.workload import WorkloadStore

#: rows from which on a file grows no more: each window writes the whole of it
FULL = 16_384


class RunLog:
    """Appends to a store for one process, the only one to change the files that it makes."""

    def __init__(self, root: Path) -> None:
        self._root, self._store = root, WorkloadStore(root)
        self._growing: dict[str, _Growing] = {}  # by kind

    def append(self, records: Sequence[WorkloadRecord], pairs: Sequence[PairRecord] = ()) -> None:
        """Add both, whole or not at all. Raises InputError as `WorkloadStore.append`."""
        hours = {_hour(record) for record in records} | {_hour(pair) for pair in pairs}
        if len(hours) != 1:
            self._store.append(records, pairs)
            return
        [hour] = hours
        grown = {LOG.name: self._grown(hour, schema.to_table(records), LOG)}
        if pairs:
            grown[PAIRS.name] = self._grown(hour, pair_schema.to_table(pairs), PAIRS)
        self._store.put(dict(grown.values()))
        for name, (path, table) in grown.items():
            self._growing[name] = _Growing(hour, path, table, _version(path))

    def _grown(self, hour: datetime, table: pa.Table, kind: TableKind) -> tuple[Path, pa.Table]:
        """The file that takes the rows, and all that is in it then."""
        growing = self._growing.get(kind.name)
        if growing is not None and growing.takes(hour):
            return growing.path, pa.concat_tables([growing.table, table])
        growing_table = table.replace_schema_metadata({**table.schema.metadata, files.GROWS: b"1"})
        return files.new_path(self._root, hour.date(), kind), growing_table


@dataclass(frozen=True, slots=True)
class _Growing:
    """The file of an hour as it was written last."""

    hour: datetime
    path: Path
    table: pa.Table
    written: tuple[int, int, int] | None

    def takes(self, hour: datetime) -> bool:
        """Whether windows of ``hour`` may be added."""
        if hour != self.hour or self.table.num_rows >= FULL:
            return False
        # one that was moved, or merged into another, has left our hands with its rows
        return self.written is not None and _version(self.path) == self.written


def _version(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from what others make of it; None when it is not there."""
    try:
        file = path.stat()
    except OSError:
        return None
    return file.st_ino, file.st_size, file.st_mtime_ns


def _hour(record: WorkloadRecord | PairRecord) -> datetime:
    return record.window_start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
