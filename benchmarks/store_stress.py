"""Writers, a compactor and readers at once, and killed: `python benchmarks/store_stress.py`.

First 8 processes append 50 times each while one compacts and one reads all the time. Then writers
and compactor are killed at random moments, 100 times. A reader must find every row that a writer
has said to be in the log, once. Prints what was seen as JSON; exit code 1 when a row was lost or
there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from aimatrix import store
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store.workload import WorkloadStore

CALL = OpCall.create("elementwise", "relu", {"inputs": [(1, 64, 7, 7)]})
START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--appends", type=int, default=50, help="of each writer")
    parser.add_argument("--rows", type=int, default=200, help="of each append")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of killing")
    parser.add_argument("--part", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(*options.part)
        return
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "together": together(Path(folder) / "together", options),
            "killed": killed(Path(folder) / "killed", options),
        }
    print(json.dumps(told, indent=2))
    sys.exit(any(each["lost"] or each["twice"] for each in told.values()))


def part(role: str, root: str, first: str = "0", appends: str = "0", rows: str = "0") -> None:
    """One process: writes, or compacts for ever."""
    if role == "compact":
        while True:
            store.compact(root)
    for number in range(int(first), int(first) + int(appends)):
        hosts = (f"{number}-{row}" for row in range(int(rows)))
        records = [WorkloadRecord(CALL, "aten::relu", "shop", h, START, 60.0, 1) for h in hosts]
        WorkloadStore(Path(root)).append(records)
        print(number, flush=True)


def process(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--part", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def together(root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Nobody is killed: at the end all is there, and at any moment nothing twice."""
    start = time.perf_counter()
    root.mkdir(parents=True)
    writers = [
        process("write", root, options.appends * k, options.appends, options.rows)
        for k in range(options.writers)
    ]
    compactor = process("compact", root)
    reads = twice = 0
    while any(writer.poll() is None for writer in writers):
        twice += sum(count > 1 for count in held(root).values())
        reads += 1
    seconds = time.perf_counter() - start
    compactor.kill()
    compactor.communicate()
    said = {int(line) for writer in writers for line in writer.communicate()[0].split()}
    return {
        **verdict(root, said, options.rows, twice),
        "reads": reads,
        "seconds": round(seconds, 1),
    }


def killed(root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Two writers and the compactor are killed at once, again and again."""
    rng = random.Random(options.seed)
    root.mkdir(parents=True)
    said: set[int] = set()
    twice = lost = 0
    for turn in range(options.kills):
        first = 1_000_000 * (turn + 1)
        writers = [
            process("write", root, first + 500_000 * k, 10_000, options.rows) for k in (0, 1)
        ]
        compactor = process("compact", root)
        assert writers[0].stdout is not None
        said.add(int(writers[0].stdout.readline()))
        time.sleep(0.5 * rng.random())
        for each in (*writers, compactor):
            os.kill(each.pid, signal.SIGKILL)
        said |= {int(line) for each in writers for line in each.communicate()[0].split()}
        compactor.communicate()
        seen = verdict(root, said, options.rows, 0)
        twice, lost = twice + seen["twice"], lost + seen["lost"]
    store.compact(root)
    told = verdict(root, said, options.rows, twice)
    return {**told, "lost": told["lost"] + lost, "kills": options.kills, "files": files(root)}


def verdict(root: Path, said: set[int], rows: int, twice: int) -> dict[str, int]:
    """What a reader finds, against what writers have said."""
    found = held(root)
    missing = sum(f"{number}-{row}" not in found for number in said for row in range(rows))
    more = sum(count > 1 for count in found.values())
    return {"appends": len(said), "rows": len(found), "lost": missing, "twice": twice + more}


def held(root: Path) -> Counter[str]:
    """Calls by host, of which every row has another."""
    try:
        return Counter({each.host: each.calls for each in WorkloadStore(root).totals()})
    except InputError as error:
        if "store is empty" in str(error) or "nothing is selected" in str(error):
            return Counter()  # the first rows may come between the looking and the message
        raise


def files(root: Path) -> int:
    return sum(1 for _ in root.rglob("*.parquet"))


if __name__ == "__main__":
    main()
