"""Regions: code in place of which something else runs, and which is counted as a whole.

What a region does is listed once, by running it in a recording; afterwards each run of what stands
for it (a compiled function, a CUDA graph) counts the whole list. Only the native library has them.
"""

from __future__ import annotations

import ctypes

#: counts the runs of compiled code of which it is not known what it does
UNCOUNTED = b"aimatrix::uncounted_region"


class Regions:
    """The library's functions for them. All are of the calling thread."""

    def __init__(self, path: str) -> None:
        # held with the GIL, which costs less than to give it up for so short a time
        library = ctypes.PyDLL(path)
        library.aimatrix_region_of.argtypes = [ctypes.c_char_p]
        library.aimatrix_region_of.restype = ctypes.c_int64
        library.aimatrix_record_end.restype = ctypes.c_int64
        for name in ("run", "enter"):
            getattr(library, f"aimatrix_region_{name}").argtypes = [ctypes.c_int64]
        for name in ("record_begin", "region_run", "region_enter", "region_leave"):
            getattr(library, f"aimatrix_{name}").restype = None
        #: from here to `end`, operators are listed instead of counted, fake ones too
        self.begin = library.aimatrix_record_begin
        #: gives the number of the region that the list is, -1 when there is none
        self.end = library.aimatrix_record_end
        #: counts a region
        self.run = library.aimatrix_region_run
        #: counts a region; what runs until `leave` is inside of it
        self.enter = library.aimatrix_region_enter
        self.leave = library.aimatrix_region_leave
        #: a region that counts as one call of `UNCOUNTED`
        self.uncounted = int(library.aimatrix_region_of(UNCOUNTED))
        self.begin()
        #: a region of no operators
        self.empty = int(self.end())
