"""The poster's tables, ours beside the published ones: `make tables`.

Table 1: the groups of AlexNet, VGG16 and GoogLeNet, one inference each, monitored just now (or
from a profile that is named). Table 2: both searches on that profile. The platform table: our
search on the targets that the poster printed for the Alibaba platform, with the layer templates
stated in PLATFORM below. One core is enough; ``--json`` prints one JSON object instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import aimatrix
from aimatrix.api.demonstration import APPLICATIONS, CENTERS, monitor_program
from aimatrix.model.profile import Filter, Group, Profile
from aimatrix.reference import published_tables
from aimatrix.store import documents
from aimatrix.synthesis.synthesize import synthesize_benchmark, synthesize_stage
from aimatrix.synthesis.template import stage_choices

#: center -> (batch, blocks): the poster does not print the platform's filters, and its warps are
#: many for its MACs, as depthwise layers have them; so each group is made of inverted residual
#: blocks as in mobile networks: 1x1, depthwise 3x3, 1x1
PLATFORM = {224: (1, 4), 112: (2, 4), 56: (16, 7), 28: (32, 7), 14: (64, 4), 7: (16, 6)}


def main() -> None:
    parser = argparse.ArgumentParser(description="The poster's tables beside ours")
    parser.add_argument("--profile", type=Path, help="of the demo; monitored anew if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    profile = documents.load(Profile, options.profile) if options.profile else monitored()
    document = {
        "table_1": table_1(profile),
        "table_2": table_2(profile, options.seed),
        "platform": platform_table(options.seed),
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


def monitored() -> Profile:
    """The profile of one inference of each program, watched now."""
    print("monitoring the three programs ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        for name in APPLICATIONS:
            monitor_program(name, store, inferences=1)
        profile: Profile = aimatrix.analyze(store, centers=CENTERS, split_groups=True)
    return profile


def table_1(profile: Profile) -> list[dict[str, Any]]:
    rows = []
    for group in profile.groups:
        published = published_tables().classic_group(group.center)
        rows.append(
            {
                "center": group.center,
                "filters": [
                    {"kernel_size": f.kernel_size, "stride": f.stride, "count": f.count}
                    for f in group.filters
                ],
                "macs": group.macs,
                "published_macs": published and published.macs,
                "warps": group.warps,
            }
        )
    return rows


def table_2(profile: Profile, seed: int) -> dict[str, Any]:
    searches: dict[str, Any] = {}
    for search in ("poster", "default"):
        benchmark, seconds = synthesize_benchmark(profile, "", search=search, seed=seed)
        searches[search] = {
            "seconds": seconds,
            "groups": [
                {
                    "center": stage.center,
                    "macs": round(stage.macs * stage.multiplicity),
                    "target_macs": stage.target_macs,
                    "warps": round(stage.warps * stage.multiplicity),
                    "target_warps": stage.target_warps,
                    "fitness_error_percent": 100 * stage.fitness_error,
                    "published_error_percent": _published_error(stage.center),
                }
                for stage in benchmark.stages
            ],
        }
    return searches


def _published_error(center: int) -> float | None:
    published = published_tables().classic_group(center)
    return published.error_percent if published else None


def platform_table(seed: int) -> dict[str, Any]:
    begin = perf_counter()
    rows = []
    published = published_tables().alibaba
    choices = stage_choices(
        [_platform_group(*row) for row in zip(PLATFORM, published, strict=True)]
    )
    for number, (templates, group) in enumerate(zip(choices, published, strict=True)):
        stage = synthesize_stage(templates, search="default", seed=seed + number)
        batch, blocks = PLATFORM[stage.center]
        rows.append(
            {
                "center": stage.center,
                "template": f"{blocks} x (1x1, depthwise 3x3, 1x1), batch {batch}",
                "macs": round(stage.macs * stage.multiplicity),
                "target_macs": stage.target_macs,
                "target_macs_repaired": group.macs is None,
                "warps": round(stage.warps * stage.multiplicity),
                "target_warps": stage.target_warps,
                "fitness_error_percent": 100 * stage.fitness_error,
                "published_error_percent": group.error_percent,
            }
        )
    return {"seconds": perf_counter() - begin, "groups": rows}


def _platform_group(center: int, published: Any) -> Group:
    """A group with the published targets.

    Group 2's real MACs are misprinted; its synthetic ones, which by its printed error are within
    0.02 % of them, stand in.
    """
    batch, blocks = PLATFORM[center]
    return Group(
        name=f"conv2d-{center}",
        center=center,
        input_size=(center, center),
        batch=batch,
        calls=3 * blocks,
        filters=(
            Filter(kernel_size=3, stride=1, depthwise=True, padding=1, count=blocks),
            Filter(kernel_size=1, stride=1, padding=0, count=2 * blocks),
        ),
        macs=published.macs or published.synthetic_macs,
        bytes=0,
        parameters=0,
        warps=published.warps,
    )


def show(document: dict[str, Any]) -> None:
    print("Table 1: one inference of AlexNet, VGG16 and GoogLeNet\n")
    print("| group | filters: kernel / stride x count | MACs | published MACs | warps (derived) |")
    print("|---|---|---|---|---|")
    for number, row in enumerate(document["table_1"], start=1):
        filters = ", ".join(_filter(item) for item in row["filters"])
        published = f"{row['published_macs']:,}" if row["published_macs"] else "-"
        equal = " (equal)" if row["published_macs"] == row["macs"] else ""
        print(
            f"| {number} ({row['center']} x {row['center']}) | {filters} | {row['macs']:,} |"
            f" {published}{equal} | {row['warps']:,} |"
        )
    for search, outcome in document["table_2"].items():
        print(f"\nTable 2: search {search}, {outcome['seconds']:.2f} s\n")
        _show_fit(outcome["groups"])
    platform = document["platform"]
    print(f"\nThe platform's targets: search default, {platform['seconds']:.2f} s\n")
    _show_fit(platform["groups"])
    print(
        "\ntemplates: " + "; ".join(f"{r['center']}: {r['template']}" for r in platform["groups"])
    )
    print("group 2's real MACs are misprinted; the published synthetic MACs stand in for them")


def _show_fit(rows: list[dict[str, Any]]) -> None:
    print("| group | real MACs | MACs | real warps | warps | error % | published |")
    print("|---|---|---|---|---|---|---|")
    for number, row in enumerate(rows, start=1):
        print(
            f"| {number} ({row['center']} x {row['center']}) | {row['target_macs']:,} |"
            f" {row['macs']:,} | {row['target_warps']:,} | {row['warps']:,} |"
            f" {row['fitness_error_percent']:.4f} | {row['published_error_percent']:.2f} |"
        )


def _filter(item: dict[str, Any]) -> str:
    stride = "" if item["stride"] == 1 else f"/{item['stride']}"
    return f"{item['kernel_size']}x{item['kernel_size']}{stride} x {item['count']}"


if __name__ == "__main__":
    main()
