"""How long the searches take and how well they match, on one core, interleaved over seeds.

Run: ``python benchmarks/search_speed.py [--profile aimatrix-demo/profile.json] [--seeds 5]``. For
each search: median seconds for all groups, the worst error of any group and seed, the median of
the worst; and the ratio of the times. ``--json`` for one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from aimatrix.model.profile import Profile
from aimatrix.store import documents
from aimatrix.synthesis.search import SEARCHES
from aimatrix.synthesis.synthesize import synthesize_benchmark


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and error of the searches")
    parser.add_argument("--profile", type=Path, default=Path("aimatrix-demo/profile.json"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    profile = documents.load(Profile, options.profile)
    seconds: dict[str, list[float]] = {name: [] for name in SEARCHES}
    errors: dict[str, list[float]] = {name: [] for name in SEARCHES}
    for seed in range(options.seeds):
        for name in SEARCHES:
            benchmark, took = synthesize_benchmark(profile, "", search=name, seed=seed)
            seconds[name].append(took)
            errors[name].append(100 * max(stage.fitness_error for stage in benchmark.stages))
    rows: list[dict[str, Any]] = [
        {
            "search": name,
            "seconds": median(seconds[name]),
            "worst_error_percent": max(errors[name]),
            "median_worst_error_percent": median(errors[name]),
        }
        for name in SEARCHES
    ]
    ratio = median(seconds["poster"]) / median(seconds["default"])
    if options.json:
        print(json.dumps({"rows": rows, "poster_over_default": ratio}, indent=2))
        return
    print("search      seconds  worst error %  median of the worst %")
    for row in rows:
        print(
            f"{row['search']:10} {row['seconds']:8.2f} {row['worst_error_percent']:14.5f}"
            f" {row['median_worst_error_percent']:22.5f}"
        )
    print(f"the poster's search takes {ratio:.1f} times as long as the default one")


if __name__ == "__main__":
    main()
