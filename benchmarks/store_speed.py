"""How fast the workload log is written and read: ``python benchmarks/store_speed.py [--rows N]``.

Rows of 200 signatures over as many windows as needed are appended in files of 10,000, then read in
turn as sums over windows (`totals`: checked, which is what `analyze` uses) and as bare columns by
pyarrow. Prints rows a second, the ratio of the times, and the peak memory; ``--json`` for one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from pyarrow import dataset

from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store.workload import WorkloadStore

SIGNATURES = 200
FILE_ROWS = 10_000
ROUNDS = 3
START = datetime(2026, 1, 1, tzinfo=UTC)


def records(first: int, count: int) -> list[WorkloadRecord]:
    """``count`` rows from number ``first`` on: signature after signature, window after window."""
    return [
        WorkloadRecord(
            call=OpCall.create("elementwise", "relu", {"inputs": [[1, 64, number % SIGNATURES]]}),
            name="aten::relu",
            app=f"app-{number % 7}",
            host="host",
            window_start=START + timedelta(minutes=number // SIGNATURES),
            window_seconds=60.0,
            calls=1,
        )
        for number in range(first, first + count)
    ]


def seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the workload log")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = WorkloadStore(Path(folder))
        batches = [records(first, FILE_ROWS) for first in range(0, options.rows, FILE_ROWS)]
        writing = sum(seconds(lambda batch=batch: store.append(batch)) for batch in batches)
        rows = sum(map(len, batches))
        del batches

        def bare() -> object:
            return dataset.dataset(folder, format="parquet", partitioning="hive").to_table()

        rounds = [(seconds(store.totals), seconds(bare)) for _ in range(ROUNDS)]
    totals, columns = (median(each) for each in zip(*rounds, strict=True))
    document = {
        "rows": rows,
        "append_rows_per_second": rows / writing,
        "totals_rows_per_second": rows / totals,
        "bare_columns_rows_per_second": rows / columns,
        "totals_over_bare_columns": totals / columns,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for name, value in document.items():
        print(f"{name.replace('_', ' '):24} {value:14,.1f}")


if __name__ == "__main__":
    main()
