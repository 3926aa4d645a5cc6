"""The workload log on disk: small Parquet files, one folder a day, many writers at once.

The layout and the rules of reading are in `docs/file-formats.md`, "Workload log".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aimatrix.errors import InputError
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store import schema

_PARTITION = "date="


class WorkloadStore:
    """A folder of operator calls, appended to by any number of processes and hosts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def append(self, records: Sequence[WorkloadRecord]) -> Path | None:
        """Add ``records``: one new file for each UTC date of their windows, whole or not at all.

        Returns the file of the latest date, None when there were no records. Raises InputError
        when the folder refuses it, or for a value that no reader would take.
        """
        by_date: dict[date, list[WorkloadRecord]] = {}
        for record in records:
            by_date.setdefault(_utc(record.window_start, "window_start").date(), []).append(record)
        tables = {self.new_path(day): schema.to_table(by_date[day]) for day in sorted(by_date)}
        self.put(tables)
        return max(tables, default=None)

    def new_path(self, day: date) -> Path:
        """A path that no file has, for windows that start on the UTC date ``day``."""
        return self.root / f"{_PARTITION}{day.isoformat()}" / f"{uuid4().hex}.parquet"

    def put(self, tables: Mapping[Path, pa.Table]) -> None:
        """Write files of these paths, each whole or not at all, in the place of older ones.

        Raises InputError when the folder refuses it.
        """
        written: list[tuple[Path, Path]] = []
        try:
            # all of them first: a batch that fails is appended again as a whole
            for path, table in tables.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".{path.name}.tmp")
                written.append((temporary, path))
                _write(table, temporary)
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
        return schema.to_records(schema.reduce(self._select(since, until, app)))

    def _select(
        self, since: datetime | None, until: datetime | None, app: str | None
    ) -> Iterator[pa.Table]:
        since = None if since is None else _utc(since, "since")
        until = None if until is None else _utc(until, "until")
        any_rows = False
        for path in self._files():
            table = _load(path) if _may_hold(path, since, until) else None
            if table is not None:
                rows = _rows(table, since, until, app)
                if rows.num_rows:
                    any_rows = True
                    yield rows
        if not any_rows:
            raise InputError(self._nothing_selected())

    def _files(self) -> list[Path]:
        if not self.root.exists():
            raise InputError(f"{self.root}: no such store; {self._mend()}")
        if not self.root.is_dir():
            raise InputError(f"{self.root}: is a file, not a store folder; {self._mend()}")
        if not os.access(self.root, os.R_OK | os.X_OK):
            raise InputError(f"{self.root}: cannot be read: Permission denied")
        paths = self.root.glob(f"{_PARTITION}*/*.parquet")
        return sorted(path for path in paths if not path.name.startswith("."))

    def _mend(self) -> str:
        return f"record one with: aimatrix monitor --store {self.root} -- COMMAND"

    def _nothing_selected(self) -> str:
        starts: list[datetime] = []
        apps: set[str] = set()
        for path in self._files():
            table = _load(path)
            if table is not None and table.num_rows:
                starts += pc.min_max(table["window_start"]).as_py().values()
                apps.update(pc.unique(table["app"]).to_pylist())
        if not starts:
            return f"{self.root}: the store is empty; {self._mend()}"
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


def _write(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())  # a name must not reach the disk before its content


def _may_hold(path: Path, since: datetime | None, until: datetime | None) -> bool:
    """Whether the folder's date allows for windows of the period."""
    try:
        day = date.fromisoformat(path.parent.name.removeprefix(_PARTITION))
    except ValueError:
        return False  # not a folder of ours
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (since is None or start + timedelta(days=1) > since) and (until is None or start < until)


def _load(path: Path) -> pa.Table | None:
    """The checked rows of a file; None for a Parquet file that is no workload log."""
    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file)
            version = schema.version_of(parquet.schema_arrow.metadata)
            if version is None:
                return None
            _check_schema(path, version, parquet.schema_arrow)
            table = schema.complete(parquet.read(columns=schema.SCHEMA.names))
            table.validate(full=True)  # a file may call any bytes text
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: is damaged and cannot be read; to go on without it, move it away or"
            f" rename it to end in .bad ({_first_line(error)})"
        ) from error
    schema.check(table, str(path))
    return pa.Table.from_arrays(table.columns, schema=schema.SCHEMA)


def _check_schema(path: Path, version: int, found: pa.Schema) -> None:
    if version > schema.SCHEMA_VERSION:
        raise InputError(
            f"{path}: field schema_version: {version} is newer than {schema.SCHEMA_VERSION}, the"
            " newest that this release reads; upgrade aimatrix"
        )
    for field in schema.SCHEMA:
        index = found.get_field_index(field.name)
        if index < 0 and field.name in schema.LATER:
            continue
        if index < 0:
            raise InputError(f"{path}: column {field.name}: is missing; write the file again")
        if found.field(index).type != field.type:
            raise InputError(
                f"{path}: column {field.name}: is of type {found.field(index).type}, not"
                f" {field.type}; write the file again"
            )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
