"""The workload log on disk (Parquet files), and the checked JSON artefacts.

What `aimatrix store` does is here as functions, which load when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimatrix.store.compaction import compact, prune
    from aimatrix.store.summary import info

__all__ = ["compact", "info", "prune"]

_HOMES = {"compact": "compaction", "prune": "compaction", "info": "summary"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"aimatrix.store.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'aimatrix.store' has no attribute {name!r}")
