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

from aimatrix.model.workload import WorkloadRecord
from aimatrix.store import schema
from aimatrix.store.workload import WorkloadStore

#: rows from which on a file grows no more: each window writes the whole of it
FULL = 16_384


class RunLog:
    """Appends to a store for one process, the only one to change the files that it makes."""

    def __init__(self, root: Path) -> None:
        self._store = WorkloadStore(root)
        self._growing: _Growing | None = None

    def append(self, records: Sequence[WorkloadRecord]) -> None:
        """Add ``records``, whole or not at all. Raises InputError as `WorkloadStore.append`."""
        hours = {_hour(record) for record in records}
        if len(hours) != 1:
            self._store.append(records)
            return
        [hour] = hours
        table = schema.to_table(records)
        growing = self._growing
        if growing is not None and growing.takes(hour):
            path, table = growing.path, pa.concat_tables([growing.table, table])
        else:
            path = self._store.new_path(hour.date())
        self._store.put({path: table})
        self._growing = _Growing(hour, path, table, _version(path))


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


def _hour(record: WorkloadRecord) -> datetime:
    return record.window_start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
