"""The published experiment that AI Matrix repeats: the poster's two tables, as printed.

"AI Matrix - Synthetic Benchmarks for DNN" (Alibaba, 2018). The filter rows are those under which
its MACs add up; the poster prints some of them under the wrong group. How its warps were counted
is not published, so they stand beside ours and are never compared with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class PublishedFilter:
    """Filters of one group that share kernel_size and stride (one side stands for both)."""

    kernel_size: int
    stride: int
    count: int


@dataclass(frozen=True, slots=True)
class PublishedGroup:
    """One row of both tables: the real work of a group, and the poster's synthetic one.

    number: 1 for the largest inputs. center: the input's side in elements, and filters; both are
    printed for the classic models alone. macs is None where the poster's figure is misprinted.
    error_percent: the fitness error as printed, with two decimals (some rounded, some cut).
    """

    number: int
    center: int | None
    filters: tuple[PublishedFilter, ...]
    macs: int | None
    warps: int
    synthetic_macs: int
    synthetic_warps: int
    error_percent: float


@dataclass(frozen=True, slots=True)
class PublishedTables:
    """The classic models' groups (AlexNet, VGG16, GoogLeNet), and the Alibaba platform's."""

    source: str
    classic: tuple[PublishedGroup, ...]
    alibaba: tuple[PublishedGroup, ...]

    def classic_group(self, center: int) -> PublishedGroup | None:
        """The classic models' group with this center, or None."""
        return next((group for group in self.classic if group.center == center), None)


@cache
def published_tables() -> PublishedTables:
    """The poster's tables, which come with the package."""
    text = resources.files(__name__).joinpath("poster.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return PublishedTables(
        source=document["source"],
        classic=tuple(map(_group, document["classic_models"]["groups"])),
        alibaba=tuple(map(_group, document["alibaba_platform"]["groups"])),
    )


def _group(row: dict[str, Any]) -> PublishedGroup:
    real, synthetic = row["real"], row["published_synthetic"]
    return PublishedGroup(
        number=row["group"],
        center=row["center_hw"][0] if "center_hw" in row else None,
        filters=tuple(
            PublishedFilter(item["size"], item["stride"], item["count"])
            for item in row.get("filters", ())
        ),
        macs=real["macs"],
        warps=real["warps"],
        synthetic_macs=synthetic["macs"],
        synthetic_warps=synthetic["warps"],
        error_percent=row["published_error_percent"],
    )
