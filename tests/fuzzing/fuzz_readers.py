"""Reads thousands of damaged files with the importers and the store reader, and counts the harm.

``python tests/fuzzing/fuzz_readers.py --files 10000`` (`make fuzz`) prints a table and ends with
exit code 1 if anything but one clear error came of a file, one took longer than its time, or
memory grew. The files that did harm are kept in the folder that ``--keep`` names.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from mutations import mutated, mutated_message

from aimatrix import ops
from aimatrix.dialects import translate
from aimatrix.errors import AimatrixError
from aimatrix.importers import formats
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store.workload import WorkloadStore

#: seconds that one file may take on a machine that does other things too
PATIENCE = 30
#: bytes that this process may hold, and by which it may grow after its first files
MEMORY, GROWTH = 8 << 30, 256 << 20


@dataclass
class Reader:
    """What is read, and what came of it."""

    seeds: list[bytes]
    read: Callable[[Path], Any]
    name: str
    files: int = 0
    taken: int = 0
    slowest: float = 0.0
    harm: list[str] = field(default_factory=list)


class HangError(Exception):
    """A file took longer than its time."""


def main() -> None:
    """Fuzz all readers in turn."""
    arguments = _arguments()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _hang)
    choose = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        readers = _readers(Path(folder))
        others = [seed for reader in readers for seed in reader.seeds]
        sizes = []
        for number in range(arguments.files):
            reader = readers[number % len(readers)]
            content = _damaged(reader, others, choose)
            _try(reader, content, Path(folder), arguments.keep)
            sizes.append(_resident())
    settled = sizes[len(sizes) // 5]
    document = {
        "seed": arguments.seed,
        "files": arguments.files,
        "grown_bytes": max(sizes) - settled,
        "readers": {
            reader.name: {
                "files": reader.files,
                "taken": reader.taken,
                "refused": reader.files - reader.taken - len(reader.harm),
                "harm": reader.harm,
                "slowest_seconds": round(reader.slowest, 3),
            }
            for reader in readers
        },
    }
    _print(readers, document["grown_bytes"])
    if arguments.output:
        arguments.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if any(reader.harm for reader in readers) or document["grown_bytes"] > GROWTH:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that do harm")
    parser.add_argument("-o", "--output", type=Path, help="JSON")
    return parser.parse_args()


def _hang(*_: Any) -> None:
    raise HangError


def _damaged(reader: Reader, others: list[bytes], choose: random.Random) -> bytes:
    if reader.name == "ONNX" and choose.random() < 0.7:
        return mutated_message(_message(choose.choice(reader.seeds)), choose)
    return mutated(choose.choice(reader.seeds), others, choose)


@cache
def _message(content: bytes) -> Any:
    import onnx

    return onnx.load_from_string(content)


def _try(reader: Reader, content: bytes, folder: Path, keep: Path | None) -> None:
    path = folder / f"{reader.name.replace(' ', '-')}.file"
    path.write_bytes(content)
    reader.files += 1
    begin = time.monotonic()
    signal.alarm(PATIENCE)
    try:
        reader.read(path)
        reader.taken += 1
    except AimatrixError as error:
        if "\n" in str(error):
            _note_harm(reader, content, f"an error of several lines: {error}", keep)
    except BaseException:
        _note_harm(reader, content, traceback.format_exc(), keep)
    finally:
        signal.alarm(0)
        reader.slowest = max(reader.slowest, time.monotonic() - begin)


def _note_harm(reader: Reader, content: bytes, what: str, keep: Path | None) -> None:
    reader.harm.append(what)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        place = keep / f"{reader.name.replace(' ', '-')}-{len(reader.harm)}"
        place.write_bytes(content)
        place.with_suffix(".txt").write_text(what, encoding="utf-8")


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _print(readers: list[Reader], grown: int) -> None:
    print(f"{'reader':<18}{'files':>8}{'taken':>8}{'refused':>9}{'harm':>6}{'slowest s':>11}")
    for reader in readers:
        refused = reader.files - reader.taken - len(reader.harm)
        counts = f"{reader.files:>8}{reader.taken:>8}{refused:>9}{len(reader.harm):>6}"
        print(f"{reader.name:<18}{counts}{reader.slowest:>11.2f}")
    print(f"memory grew by {grown / 2**20:.0f} MiB after the first fifth")
    for reader in readers:
        for harm in reader.harm[:3]:
            print(f"\n{reader.name}:\n{harm}", file=sys.stderr)


def _readers(folder: Path) -> list[Reader]:
    execution, kineto = _traces(folder)
    return [
        Reader(_models(), _import, "ONNX"),
        Reader([execution, gzip.compress(execution)], _import, "execution trace"),
        Reader([kineto, gzip.compress(kineto)], _import, "Kineto trace"),
        Reader(_logs(folder), _read_store, "workload log"),
    ]


def _import(path: Path) -> None:
    sizes = {"batch": 2} if b"batch" in path.read_bytes() else {}
    _, imported = formats.read(path, sizes)
    for each in imported.calls:
        ops.cost(translate(each.raw))


def _read_store(path: Path) -> None:
    store = path.parent / "store"
    day = store / "date=2026-01-01"
    day.mkdir(parents=True, exist_ok=True)
    (day / "log.parquet").write_bytes(path.read_bytes())
    for record in WorkloadStore(store).totals():
        ops.cost(record.call)


def _models() -> list[bytes]:
    """A real network without weights, and one with what models have besides: shapes at run time."""
    import onnx
    from onnx import parser

    light = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    text = """<ir_version: 8, opset_import: ["" : 17]>
    network (float[batch,3,16,16] x) => (float[batch,10] y)
    <float[8,3,3,3] w, float[10,8] v> {
        c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)
        r = Relu(c)
        p = GlobalAveragePool(r)
        s = Shape<start=0, end=1>(x)
        e = Constant<value_ints=[8]>()
        t = Concat<axis=0>(s, e)
        f = Reshape(p, t)
        g = Gemm<transB=1>(f, v)
        n = Constant<value_int=3>()
        k = Constant<value = bool {1}>()
        y = Loop(n, k, g) <body = step (int64 i, bool more, float[batch,10] h) =>
            (bool go, float[batch,10] o) { go = Identity(more) o = Tanh(h) }>
    }"""
    return [light.read_bytes(), parser.parse_model(text).SerializeToString()]


def _traces(folder: Path) -> tuple[bytes, bytes]:
    """An execution trace and a Kineto trace of a small training step."""
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(144, 5),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    execution, kineto = folder / "execution.json", folder / "kineto.json"
    observer = torch.profiler.ExecutionTraceObserver().register_callback(str(execution))
    with torch.profiler.profile(record_shapes=True, execution_trace_observer=observer) as profile:
        model(torch.rand(2, 3, 8, 8)).sum().backward()
        optimizer.step()
    profile.export_chrome_trace(str(kineto))
    return execution.read_bytes(), kineto.read_bytes()


def _logs(folder: Path) -> list[bytes]:
    """A log of two signatures in several windows."""
    calls = [
        OpCall.create("elementwise", "relu", {"inputs": [(2, size)]}) for size in range(1, 200)
    ]
    store = WorkloadStore(folder / "seed")
    path = store.append(
        [
            WorkloadRecord(
                call=call,
                name="aten::relu",
                app="application",
                host="host",
                window_start=datetime(2026, 1, 1, minute, tzinfo=UTC),
                window_seconds=60.0,
                calls=minute + 1,
                time_ns=None if minute % 2 else 1000,
            )
            for call in calls
            for minute in range(3)
        ]
    )
    assert path is not None
    plain = folder / "plain.parquet"
    # damages reach the values where nothing is packed
    pq.write_table(pq.read_table(path), plain, compression="none", use_dictionary=False)
    return [path.read_bytes(), plain.read_bytes()]


if __name__ == "__main__":
    main()
