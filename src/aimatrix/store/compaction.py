"""One compactor rewrites a store's many small files as few, and removes what is too old.

For each date it writes a file with the rows of others, which says so in its metadata: when it gets
its name, the others are no data any more, in one step. Then they are removed. Whatever happens in
between, a reader finds every row once; what was begun is finished by the next compaction.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aimatrix.errors import InputError
from aimatrix.store import files
from aimatrix.store.files import Part
from aimatrix.store.pair_schema import PAIRS
from aimatrix.store.schema import LOG
from aimatrix.store.table_kind import TableKind

#: rows that a file is to have at most, unless it had more already
FULL = 2**20
#: rows of a row group: what is in memory at a time
GROUP = 2**17
#: seconds after which a file that may grow is taken for one that does not any more
SETTLED = 3600.0
#: seconds after which a file with a temporary name is what a crash has left
ABANDONED = 86400.0

_LOCK = ".compact.lock"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: files and rows that were taken over, and files that hold them now.

    growing: files that were left alone, as a running monitor may still add to them.
    """

    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    growing: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(
            self.files_before + other.files_before,
            self.files_after + other.files_after,
            self.rows + other.rows,
            self.growing + other.growing,
        )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: whole files, and rows, of which some were in files that stay."""

    files: int = 0
    rows: int = 0
    growing: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.files + other.files, self.rows + other.rows, self.growing + other.growing
        )


def compact(
    root: str | Path, since: datetime | None = None, until: datetime | None = None
) -> Compacted:
    """Rewrite the small files of the dates of a period as few.

    Raises InputError when there is no such store, when another compaction is at it, when a file of
    it cannot be read (then it is named, and what was done before stays done), or when the folder
    refuses to be written to.
    """
    done, root = Compacted(), Path(root)
    with _alone(root), _refusals(root):
        for folder in files.folders(root, since, until):
            for kind in (LOG, PAIRS):
                _finish(folder, kind)
                done += _compact_folder(folder, kind)
            _remove_abandoned(folder)
    return done


def prune(root: str | Path, before: datetime) -> Pruned:
    """Remove all rows whose window starts before a moment. Raises InputError as `compact`."""
    done, root = Pruned(), Path(root)
    with _alone(root), _refusals(root):
        for folder in files.folders(root, until=before):
            for kind in (LOG, PAIRS):
                _finish(folder, kind)
                done += _prune_folder(folder, kind, before)
            _remove_abandoned(folder)
            if not any(folder.iterdir()):
                folder.rmdir()
    return done


def _compact_folder(folder: Path, kind: TableKind) -> Compacted:
    settled, growing = _settled(folder, kind)
    small = [(part, rows) for part, rows in settled if rows <= FULL // 2]
    done = Compacted(growing=growing)
    for batch in _batches(small):
        if len(batch) > 1:
            rows = _replace(folder, kind, batch)
            done += Compacted(files_before=len(batch), files_after=1, rows=rows)
    return done


def _prune_folder(folder: Path, kind: TableKind, before: datetime) -> Pruned:
    done = Pruned()
    settled, growing = _settled(folder, kind)
    done += Pruned(growing=growing)
    for part, rows in settled:
        table = files.load(part, kind)
        if table is None:
            continue
        kept = table.filter(
            pc.greater_equal(table["window_start"], pa.scalar(before, table["window_start"].type))
        )
        if kept.num_rows == rows:
            continue
        taken = {part.path.name: part.first + rows}
        # what it replaces and has grown since must not be data again as a whole
        if kept.num_rows or _inherited(folder, taken):
            _write_replacement(folder, kind, [kept], taken)
        part.path.unlink()
        done += Pruned(files=int(not kept.num_rows), rows=rows - kept.num_rows)
    return done


def _settled(folder: Path, kind: TableKind) -> tuple[list[tuple[Part, int]], int]:
    """The parts that nobody adds to, each with its rows, and how many may still grow."""
    settled, growing = [], 0
    for part in files.parts(folder, kind):
        try:
            metadata = files.read_metadata(part.path)
        except (pa.ArrowException, ValueError):
            files.load(part, kind)  # says what is wrong with it, and how to mend that
            raise
        known = metadata.metadata or {}
        if kind.version_of(known) is None:
            continue
        if files.GROWS in known and time() - part.path.stat().st_mtime < SETTLED:
            growing += 1
        else:
            settled.append((part, metadata.num_rows - part.first))
    return settled, growing


def _batches(small: Sequence[tuple[Part, int]]) -> Iterator[list[Part]]:
    """Parts that fit into a file together, the smallest first."""
    batch: list[Part] = []
    total = 0
    for part, rows in sorted(small, key=lambda item: (item[1], item[0].path.name)):
        if batch and total + rows > FULL:
            yield batch
            batch, total = [], 0
        batch.append(part)
        total += rows
    if batch:
        yield batch


def _replace(folder: Path, kind: TableKind, batch: Sequence[Part]) -> int:
    """Write one file with the rows of others and remove these; how many rows there are."""
    taken: dict[str, int] = {}

    def tables() -> Iterator[pa.Table]:
        for part in batch:
            table = files.load(part, kind)
            if table is not None:
                taken[part.path.name] = part.first + table.num_rows
                yield table

    rows = _write_replacement(folder, kind, tables(), taken)
    for part in batch:
        if part.path.name in taken:
            part.path.unlink(missing_ok=True)
    return rows


def _write_replacement(
    folder: Path,
    kind: TableKind,
    tables: Sequence[pa.Table] | Iterator[pa.Table],
    taken: Mapping[str, int],
) -> int:
    """Write the file that replaces others.

    taken: for each of these, how many of its rows are in the tables or are not to be kept; may be
    filled while the tables are gone through.
    """
    path = files.new_compact_path(folder, kind)
    rows = 0
    with (
        _written(path) as place,
        pq.ParquetWriter(place, kind.schema, compression="zstd") as writer,
    ):
        for group in _groups(tables):
            writer.write_table(group, row_group_size=GROUP)
            rows += group.num_rows
        inherited = _inherited(folder, taken)
        writer.add_key_value_metadata({files.REPLACES: json.dumps({**inherited, **taken})})
    return rows


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A temporary name for a file, which gets its own at the end, on the disk by then."""
    place = files.temporary(path)
    try:
        yield place
        with place.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(place, path)
        _sync(path.parent)  # before anything that it replaces is removed
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _groups(tables: Sequence[pa.Table] | Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `GROUP` rows or a little more."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.num_rows for each in waiting) >= GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _inherited(folder: Path, taken: Mapping[str, int]) -> dict[str, int]:
    """What is still there of what those that are taken over replace: it must not be data again."""
    return {
        name: rows
        for own in taken
        for name, rows in files.replaces(folder / own).items()
        if (folder / name).exists()
    }


def _finish(folder: Path, kind: TableKind) -> None:
    """Remove what a compaction that was killed has replaced and not removed."""
    data = {part.path for part in files.parts(folder, kind)}
    for path in sorted(folder.glob(f"{kind.prefix}{files.COMPACT}*.parquet")):
        for name in files.replaces(path):
            if path in data and folder / name not in data:
                (folder / name).unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(".*.parquet.tmp"):
        if time() - path.stat().st_mtime > ABANDONED:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the lock of the store's one compactor, which the system releases whatever happens."""
    files.folders(root)  # says it when there is no store
    with _refusals(root), (root / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{root}: is being compacted by another process; wait for it"
            ) from error
        yield


@contextmanager
def _refusals(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{root}: cannot be written: {error.strerror or error}") from error
    except files.VanishedError as error:
        raise InputError(f"{error}: was removed by another program; compact again") from error
