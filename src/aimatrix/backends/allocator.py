"""Keeps the C library's allocator from changing what is measured."""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters and the largest values that glibc takes (mallopt(3))
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER_TRIM, _NEVER_MMAP = 2**31 - 1, 2**30


def keep_freed_memory() -> None:
    """Have glibc keep the memory that is freed, in this process from now on; elsewhere nothing.

    By default it may give large activations back to the system and fault them in again at every
    pass. Whether it does depends on how the heap happens to lie, differs from process to process,
    and was seen to add 40 % to the time of a stage.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _NEVER_MMAP)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
