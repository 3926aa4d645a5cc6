"""The workload log on disk: small Parquet files, one folder a day, many writers at once.

The layout and the rules of reading are in `docs/file-formats.md`, "Workload log".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from aimatrix.errors import InputError
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.store import files, pair_schema, schema
from aimatrix.store.pair_schema import PAIRS
from aimatrix.store.schema import LOG
from aimatrix.store.table_kind import TableKind

_R = TypeVar("_R", WorkloadRecord, PairRecord)


class WorkloadStore:
    """A folder of operator calls, appended to by any number of processes and hosts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def append(
        self, records: Sequence[WorkloadRecord], pairs: Sequence[PairRecord] = ()
    ) -> Path | None:
        """Add ``records``: one new file for each UTC date of their windows, whole or not at all.

        pairs: added with them, in files of their own. Returns the records' file of the latest
        date, None when there were none. Raises InputError when the folder refuses it, or for a
        value that no reader would take.
        """
        tables = {
            files.new_path(self.root, day, LOG): schema.to_table(own)
            for day, own in _by_date(records).items()
        }
        self.put(tables | self._pair_tables(pairs))
        return max(tables, default=None)

    def append_pairs(self, pairs: Sequence[PairRecord]) -> None:
        """Add ``pairs`` alone, as `append` does."""
        self.put(self._pair_tables(pairs))

    def _pair_tables(self, pairs: Sequence[PairRecord]) -> dict[Path, pa.Table]:
        return {
            files.new_path(self.root, day, PAIRS): pair_schema.to_table(own)
            for day, own in _by_date(pairs).items()
        }

    def put(self, tables: Mapping[Path, pa.Table]) -> None:
        """Write files of these paths, each whole or not at all, in the place of older ones.

        Raises InputError when the folder refuses it.
        """
        written: list[tuple[Path, Path]] = []
        try:
            # all of them first: a batch that fails is appended again as a whole
            for path, table in tables.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = files.temporary(path)
                written.append((temporary, path))
                files.write(table, temporary)
            for temporary, path in written:
                os.replace(temporary, path)
        except OSError as error:
            for temporary, _ in written:
                with suppress(OSError):  # what could not be made cannot be removed
                    temporary.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise InputError(f"{self.root}: cannot be written: {reason}") from error

    def totals(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        app: str | None = None,
    ) -> list[WorkloadRecord]:
        """All records whose window starts in ``since <= start < until``, of apps like ``app``.

        Those that differ only in their window are added up; each one's window spans those it
        stands for. A log has millions of rows and few signatures: rows are added up before any
        becomes an object. Ordered, so that the same log gives the same list.

        app: a glob (``resnet*``). Raises InputError when the store is missing, empty, damaged or
        newer than this release, and when nothing is selected.
        """
        reduced = self._reduced(LOG, since, until, app)
        if not reduced.num_rows:
            raise InputError(files.steadily(self.root, self._nothing_selected))
        return schema.to_records(reduced)

    def pairs(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        app: str | None = None,
    ) -> list[PairRecord]:
        """Who consumes whose output in the windows that `totals` gives, added up like these.

        Empty when the store has none: older releases logged none. Raises InputError when the store
        is missing, damaged or newer than this release.
        """
        return pair_schema.to_records(self._reduced(PAIRS, since, until, app))

    def _reduced(
        self, kind: TableKind, since: datetime | None, until: datetime | None, app: str | None
    ) -> pa.Table:
        """The rows of the period, added up: all over again when a file is replaced meanwhile."""
        since = None if since is None else _utc(since, "since")
        until = None if until is None else _utc(until, "until")
        return files.steadily(self.root, lambda: kind.reduce(self._select(kind, since, until, app)))

    def _select(
        self, kind: TableKind, since: datetime | None, until: datetime | None, app: str | None
    ) -> Iterator[pa.Table]:
        yield kind.schema.empty_table()
        for table in files.tables(self.root, kind, since, until):
            yield _rows(table, since, until, app)

    def _nothing_selected(self) -> str:
        starts: list[datetime] = []
        apps: set[str] = set()
        for table in files.tables(self.root, LOG):
            if table.num_rows:
                starts += pc.min_max(table["window_start"]).as_py().values()
                apps.update(pc.unique(table["app"]).to_pylist())
        if not starts:
            mend = f"record one with: aimatrix monitor --store {self.root} -- COMMAND"
            return f"{self.root}: the store is empty; {mend}"
        names = sorted(apps)
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return (
            f"{self.root}: nothing is selected; the store has windows that start from"
            f" {min(starts).isoformat()} to {max(starts).isoformat()}, of the applications"
            f" {', '.join(map(repr, names[:10]))}{more}"
        )


def _utc(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        raise InputError(f"{what}: {moment} has no time zone; write it with one, such as +00:00")
    return moment.astimezone(UTC)


def _by_date(records: Sequence[_R]) -> dict[date, list[_R]]:
    by_date: dict[date, list[_R]] = {}
    for record in records:
        by_date.setdefault(_utc(record.window_start, "window_start").date(), []).append(record)
    return dict(sorted(by_date.items()))


def _rows(
    table: pa.Table, since: datetime | None, until: datetime | None, app: str | None
) -> pa.Table:
    """The rows of the period and of the applications asked for."""
    kind = table["window_start"].type
    if since is not None:
        table = table.filter(pc.greater_equal(table["window_start"], pa.scalar(since, kind)))
    if until is not None:
        table = table.filter(pc.less(table["window_start"], pa.scalar(until, kind)))
    if app is not None:
        names = pc.unique(table["app"]).to_pylist()
        chosen = pa.array([name for name in names if fnmatchcase(name, app)], pa.string())
        table = table.filter(pc.is_in(table["app"], value_set=chosen))
    return table
