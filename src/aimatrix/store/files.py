"""Which files of a store are data: how they are named, listed, read, and how one replaces others.

A file whose metadata says that it replaces others holds their rows. From the moment at which it is
there, these are no data any more, whether they are removed yet or not: so a compactor may be killed
at any moment. What a file had that has grown since then is told by the number of rows that were
taken over. `docs/file-formats.md`, "Workload log", has the rules.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from aimatrix.errors import InputError
from aimatrix.store.pair_schema import PAIRS
from aimatrix.store.table_kind import TableKind

T = TypeVar("T")

PARTITION = "date="
#: with what the names of files begin that replace others, after the prefix of their kind
COMPACT = "compact-"
#: metadata of a file: the names of others in its folder and of how many rows it has taken over
REPLACES = b"aimatrix.replaces"
#: metadata of a file that its writer may replace by a longer one
GROWS = b"aimatrix.grows"
#: how often a folder is listed until two listings agree, and a store read until no file vanishes
ATTEMPTS = 100


class VanishedError(Exception):
    """A file that was listed is gone: its rows are in another one by now."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of which the rows from ``first`` on are data."""

    path: Path
    first: int = 0


def new_path(root: Path, day: date, kind: TableKind) -> Path:
    """A path that no file has, for windows that start on the UTC date ``day``."""
    return root / f"{PARTITION}{day.isoformat()}" / f"{kind.prefix}{uuid4().hex}.parquet"


def new_compact_path(folder: Path, kind: TableKind) -> Path:
    """A path that no file has, for one that replaces others of a folder."""
    return folder / f"{kind.prefix}{COMPACT}{uuid4().hex}.parquet"


def date_of(folder: Path) -> date | None:
    """The date of a folder; None for one that is not ours."""
    try:
        return date.fromisoformat(folder.name.removeprefix(PARTITION))
    except ValueError:
        return None


def folders(root: Path, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
    """The folders of dates that may hold windows of a period, in order.

    Raises InputError when there is no such store, or when it cannot be read.
    """
    mend = f"record one with: aimatrix monitor --store {root} -- COMMAND"
    if not root.exists():
        raise InputError(f"{root}: no such store; {mend}")
    if not root.is_dir():
        raise InputError(f"{root}: is a file, not a store folder; {mend}")
    if not os.access(root, os.R_OK | os.X_OK):
        raise InputError(f"{root}: cannot be read: Permission denied")
    return [
        folder
        for folder in sorted(root.glob(f"{PARTITION}*"))
        if folder.is_dir() and _may_hold(folder, since, until)
    ]


def parts(folder: Path, kind: TableKind) -> list[Part]:
    """The data of a kind in the folder of a date, in the order of names.

    Raises VanishedError when files come and go all the time, InputError as `load`.
    """
    names = _listed(folder, kind)
    replaced: dict[str, int] = {}
    for name in names:
        if name.startswith(kind.prefix + COMPACT):
            for other, rows in replaces(folder / name).items():
                replaced[other] = max(rows, replaced.get(other, 0))
    found = [Part(folder / name, replaced.get(name, 0)) for name in names]
    return [part for part in found if not part.first or _rows_in(part.path) > part.first]


def replaces(path: Path) -> Mapping[str, int]:
    """What a file replaces: names, and of how many rows. Nothing for one that is not ours."""
    try:
        text = (read_metadata(path).metadata or {}).get(REPLACES)
        given = json.loads(text) if text else {}
    except (pa.ArrowException, ValueError):  # damaged: who reads it is told
        return {}
    if not isinstance(given, dict):
        return {}
    return {
        name: rows
        for name, rows in given.items()
        # a file may say anything: nothing outside of its folder is meant
        if Path(name).name == name and isinstance(rows, int) and rows > 0
    }


def read_metadata(path: Path) -> Any:
    """The footer of a Parquet file. Raises VanishedError; for a damaged one what pyarrow raises."""
    try:
        return pq.read_metadata(path)
    except FileNotFoundError as error:
        raise VanishedError(path) from error
    except OSError as error:
        raise ValueError(str(error)) from error


def load(part: Part, kind: TableKind) -> pa.Table | None:
    """The checked rows of a part; None for a Parquet file of another kind.

    Raises InputError, naming the file and the mend, for one that is damaged, newer than this
    release, or holds what no log does; VanishedError for one that is gone.
    """
    path = part.path
    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file)
            version = kind.version_of(parquet.schema_arrow.metadata)
            if version is None:
                return None
            _check_version(path, version, kind)
            kind.check_columns(parquet.schema_arrow, str(path))
            table = kind.complete(parquet.read(columns=kind.names))
            table.validate(full=True)  # a file may call any bytes text
    except FileNotFoundError as error:
        raise VanishedError(path) from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: is damaged and cannot be read; to go on without it, move it away or"
            f" rename it to end in .bad ({_first_line(error)})"
        ) from error
    kind.check(table, str(path))
    whole = pa.Table.from_arrays(table.columns, schema=kind.schema)
    return whole.slice(part.first) if part.first else whole


def tables(
    root: Path, kind: TableKind, since: datetime | None = None, until: datetime | None = None
) -> Iterator[pa.Table]:
    """The rows of each file that may hold windows of a period. Raises as `folders` and `load`."""
    for folder in folders(root, since, until):
        for part in parts(folder, kind):
            table = load(part, kind)
            if table is not None:
                yield table


def steadily(root: Path, read: Callable[[], T]) -> T:
    """What ``read`` makes of a store, all over again when a file is replaced meanwhile.

    Raises InputError when that never ends.
    """
    for _ in range(ATTEMPTS):
        with suppress(VanishedError):
            return read()
    raise InputError(f"{root}: its files are replaced faster than they can be read; try again")


def write(table: pa.Table, path: Path) -> None:
    """Write a file that is on the disk when this returns; under a name that is no data yet."""
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())  # a name must not reach the disk before its content


def temporary(path: Path) -> Path:
    """The name under which a file is written before it gets its own: no data."""
    return path.with_name(f".{path.name}.tmp")


def _listed(folder: Path, kind: TableKind) -> list[str]:
    """The names of files of a kind, as they are all there at one moment.

    One listing alone may miss both a file that was just removed and the one that replaces it.
    """
    before: list[str] | None = None
    for _ in range(ATTEMPTS):
        try:
            names = sorted(name for name in os.listdir(folder) if _is_named(name, kind))
        except FileNotFoundError as error:
            raise VanishedError(folder) from error
        if names == before:
            return names
        before = names
    raise VanishedError(folder)


def _is_named(name: str, kind: TableKind) -> bool:
    others = (".",) if kind.prefix else (".", PAIRS.prefix)
    right = name.startswith(kind.prefix) and name.endswith(".parquet")
    return right and not name.startswith(others)


def _rows_in(path: Path) -> int:
    rows: int = read_metadata(path).num_rows
    return rows


def _may_hold(folder: Path, since: datetime | None, until: datetime | None) -> bool:
    day = date_of(folder)
    if day is None:
        return False
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (since is None or start + timedelta(days=1) > since) and (until is None or start < until)


def _check_version(path: Path, version: int, kind: TableKind) -> None:
    if version > kind.version:
        raise InputError(
            f"{path}: field schema_version: {version} is newer than {kind.version}, the newest"
            " that this release reads; upgrade aimatrix"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
