"""The verb that logs what files tell of an application: model files and traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median_low

from aimatrix import ops
from aimatrix.api.watching import DEFAULT_STORE, FilePath
from aimatrix.dialects import translate
from aimatrix.dialects.pairs import translated
from aimatrix.errors import InputError
from aimatrix.importers import formats
from aimatrix.importers.imported import Imported
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import PairRecord, WorkloadRecord
from aimatrix.monitoring import encodable, this_host
from aimatrix.store.schema import to_table
from aimatrix.store.workload import WorkloadStore

#: calls of a file that a log has room for; sums of fewer are exact in every reader
MOST_CALLS = 2**40

#: operator calls of one file, all together, that a log has room for
MOST_LOGGED = 2**53

#: seconds of the window that imported calls are in: the one in which they were imported
_WINDOW = 60


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What came of one file. macs: of the operators whose MACs are known.

    unknown: the operators that no family knows, by name, with their calls, most frequent first.
    warnings: sentences on what the file has and could not be taken as it stands.
    """

    path: Path
    format: str
    app: str
    calls: int
    macs: int
    unknown: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]


def import_(
    files: Sequence[FilePath],
    *,
    store: FilePath = DEFAULT_STORE,
    app: str | None = None,
    calls: int = 1,
    dims: Mapping[str, int] | None = None,
) -> list[ImportedFile]:
    """Log the operators of model files (ONNX) and traces (PyTorch's execution and Kineto traces).

    The kind of a file is told by its content; traces may be gzipped. app: the name of the
    application in the log, that of the file by default. calls: how often the application did what
    a file holds, one inference of a model or all of a trace. dims: the sizes of a model's dynamic
    dimensions by name, ``{"batch": 8}``. All files are read before anything is logged, so that a
    bad one leaves the log as it was. Raises InputError for a file that cannot be read, or a store
    that cannot be written to.
    """
    if not files:
        raise InputError("there is nothing to import; name at least one file")
    if not 1 <= calls <= MOST_CALLS:
        raise InputError(f"calls: {calls} is no number of calls from 1 to {MOST_CALLS}")
    sizes = dict(dims or {})
    read = [(Path(path), *formats.read(Path(path), sizes)) for path in files]
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    records: list[WorkloadRecord] = []
    pairs: list[PairRecord] = []
    found = []
    for path, kind, imported in read:
        name = encodable(app or _stem(path))
        _refuse_too_many(path, imported, calls)
        own = _records(imported, kind, name, calls, now)
        if not own:
            raise InputError(f"{path}: holds no operator calls; {kind.mend}")
        _refuse_what_no_log_holds(path, own)
        records += own
        pairs += _pairs(imported, kind, name, calls, now)
        found.append(_summary(path, kind, name, own, imported))
    WorkloadStore(Path(store)).append(records, pairs)
    return found


def _stem(path: Path) -> str:
    """The file's name without what tells its format: ``step.pt.trace.json.gz`` is ``step``."""
    return path.name.partition(".")[0] or path.name


def _refuse_too_many(path: Path, imported: Imported, calls: int) -> None:
    """Raise InputError for more calls than a log can hold: nested loops reach any number."""
    total = sum(each.calls for each in imported.calls) * calls
    if total > MOST_LOGGED:
        raise InputError(
            f"{path}: calls operators more than {MOST_LOGGED} times, which is all that a log has"
            " room for; give fewer --calls, or check the trips of its loops"
        )


def _refuse_what_no_log_holds(path: Path, records: Sequence[WorkloadRecord]) -> None:
    """Raise InputError, with the file's name, for values that the store would refuse."""
    try:
        to_table(records)
    except InputError as error:
        raise InputError(f"{path}: holds values that no log takes: {error}") from error


def _records(
    imported: Imported, kind: formats.Format, app: str, calls: int, start: datetime
) -> list[WorkloadRecord]:
    """One record for each signature and spelling."""
    counted: Counter[tuple[OpCall, str]] = Counter()
    warps: dict[tuple[OpCall, str], Counter[int]] = {}
    for each in imported.calls:
        key = translate(each.raw), each.raw.name
        counted[key] += each.calls
        if each.warps is not None:
            warps.setdefault(key, Counter())[each.warps] += each.calls
    return [
        WorkloadRecord(
            call=key[0],
            name=key[1],
            app=app,
            host=encodable(this_host()),
            window_start=start,
            window_seconds=_WINDOW,
            calls=number * calls,
            source=kind.source,
            # the first call of a new shape may try several algorithms
            warps=median_low(warps[key].elements()) or None if key in warps else None,
        )
        for key, number in counted.items()
    ]


def _pairs(
    imported: Imported, kind: formats.Format, app: str, calls: int, start: datetime
) -> list[PairRecord]:
    return [
        PairRecord(
            producer=producer,
            consumer=consumer,
            app=app,
            host=encodable(this_host()),
            window_start=start,
            window_seconds=_WINDOW,
            calls=number * calls,
            source=kind.source,
        )
        for (producer, consumer), number in translated(imported.pairs, translate).items()
    ]


def _summary(
    path: Path,
    kind: formats.Format,
    app: str,
    records: Sequence[WorkloadRecord],
    imported: Imported,
) -> ImportedFile:
    unknown: Counter[str] = Counter()
    for record in records:
        if record.call.family == "unknown":
            unknown[record.name] += record.calls
    return ImportedFile(
        path=path,
        format=kind.name,
        app=app,
        calls=sum(record.calls for record in records),
        macs=sum((ops.cost(record.call).macs or 0) * record.calls for record in records),
        unknown=tuple(sorted(unknown.items(), key=lambda item: (-item[1], item[0]))),
        warnings=(*imported.warnings, *_odd_entries(imported.odd)),
    )


def _odd_entries(odd: int) -> list[str]:
    if not odd:
        return []
    return [f"{odd:,} entries were passed over, since they lack what their kind has"]
