"""What the native library of a torch is called, and whether it may be loaded from where it lies.

The agent asks this before it loads the library, `aimatrix.monitoring.native` when it builds it.
"""

from __future__ import annotations

import os
import re
import stat

FILE = "capture.so"

_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9.+_-]")


def key(version: str, git: str, abi: str, sources: str) -> str:
    """The folder of the library for a build of torch, in the folder of all libraries.

    version, git: ``torch.__version__`` and ``torch.version.git_version``. abi: ``1`` where torch
    was built with the C++11 ABI of the GNU library, else ``0``; ``?`` for a glob over both.
    sources: digest of the C++ sources that it is built from.
    """
    words = (f"torch{version}", git[:8], f"abi{abi}", os.uname().machine, sources)
    # the version is the word of whoever built that torch
    return "-".join(word if word == "abi?" else _NO_FILE_NAME.sub("_", word) for word in words)


def trusted(path: str) -> str:
    """The real path of a file or folder that nobody but root and this user can change.

    Raises PermissionError, in words for a person, when others could change it, put something else
    in its place, or do so with a folder above it; OSError when there is no such path.
    """
    real = os.path.realpath(path)
    place = real
    while True:
        _check_owner(place)
        above = os.path.dirname(place)
        if above == place:
            return real
        place = above


def _check_owner(place: str) -> None:
    status = os.stat(place)
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionError(f"{place} belongs to another user")
    # in a folder like /tmp others may add entries, but not replace ours
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
        raise PermissionError(f"{place} can be written to by other users")
