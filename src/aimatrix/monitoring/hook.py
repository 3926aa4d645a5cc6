"""The hook: starts the agent in an interpreter that is told to ignore ``PYTHONPATH``.

``python -E`` and ``-I`` do not look at it, and some programs clear it for those that they start.
What every start of an interpreter reads (but with ``-S``) are the ``.pth`` files among its
packages: ours has one line, which does nothing unless a monitor has set ``AIMATRIX_SPOOL``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aimatrix.errors import InputError
from aimatrix.monitoring.processes import run

NAME = "aimatrix_monitor.pth"

_BOOT = Path(__file__).parent / "boot"
#: seconds that an interpreter may take to say where its packages are
_PATIENCE = 30.0
_PROBE = """
import json, sys, sysconfig
folder = sysconfig.get_path("purelib")
print(json.dumps([folder, folder in sys.path]))
"""

#: an aimatrix that has been moved or removed since is nothing that an application should hear of
_START = """
try:
    import sys
    sys.path.insert(0, {boot})
    try:
        import _aimatrix_start
    finally:
        sys.path.remove({boot})
except Exception:
    pass
"""


def install(python: str) -> Path:
    """Put the hook into the interpreter ``python``, and return its file.

    Raises InputError when that is no Python, or its packages cannot be written to.
    """
    path = _place(python)
    temporary = path.with_name(f".{NAME}.{os.getpid()}")
    try:
        temporary.write_text(_line(), encoding="ascii")
        temporary.chmod(0o644)  # all who use the interpreter are to read it
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path.parent}: cannot be written to: {error.strerror}") from error
    return path


def remove(python: str) -> Path | None:
    """Take the hook out of the interpreter ``python``; None when there was none.

    Raises InputError when that is no Python, or its packages cannot be written to.
    """
    path = _place(python)
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written to: {error.strerror}") from error
    return path


def installed(python: str) -> Path | None:
    """The hook's file in the interpreter ``python``; None when it has none, or is no Python."""
    try:
        path = _place(python)
    except InputError:
        return None
    return path if path.is_file() else None


def _line() -> str:
    # ascii(): interpreters differ in the encoding that they read this file with
    start = _START.format(boot=ascii(os.path.abspath(_BOOT)))
    return f'import os; exec({start!a}, {{}}) if "AIMATRIX_SPOOL" in os.environ else None\n'


def _place(python: str) -> Path:
    """Where the hook of an interpreter is, or would be."""
    program = shutil.which(python)
    if program is None:
        raise InputError(f"{python}: there is no such Python; name its file with --python")
    found = _packages(program, os.environ)
    if found is None:
        raise InputError(f"{python}: does not answer as a Python does; name another with --python")
    folder, is_read = found
    if not is_read:
        raise InputError(f"{folder}: {python} reads no .pth files there; name another Python")
    return Path(folder) / NAME


def _packages(program: str, environment: Mapping[str, str]) -> tuple[str, bool] | None:
    """The folder of an interpreter's packages, and whether it looks there at its start."""
    try:
        # -I: what the environment adds is of this moment, the hook is to stay
        ended = run([program, "-I", "-c", _PROBE], environment=environment, timeout=_PATIENCE)
        folder, is_read = json.loads(ended.out.strip().splitlines()[-1])
    except (OSError, ValueError, IndexError, TypeError):
        return None
    return str(folder), bool(is_read)
