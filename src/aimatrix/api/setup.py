"""The verbs that set this machine up: what is missing for the native capture, and the hook."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimatrix.monitoring import hook
from aimatrix.monitoring.native import Diagnosis, State, diagnose


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `doctor` found: how it stands with the native capture, and the hook's file, if any."""

    native: Diagnosis
    hook: Path | None

    @property
    def healthy(self) -> bool:
        """Whether a monitor would use the native capture now."""
        return self.native.state is State.READY

    def summary(self) -> dict[str, Any]:
        """All of it in plain values, ready for JSON."""
        native, library = self.native, self.native.library
        torch = native.interpreter.torch
        return {
            "interpreter": native.interpreter.path,
            "python": native.interpreter.python,
            "torch": torch and {"version": torch.version, "folder": str(torch.folder)},
            "compiler": native.compiler,
            "cache": native.cache and str(native.cache),
            "cache_problem": native.cache_problem,
            "key": native.key,
            "library": {
                "state": native.state.value,
                "reason": native.reason,
                "file": library and str(library.file),
                "built": library and library.notes.built,
                "compiler": library and library.notes.compiler,
                "flags": library and library.notes.flags,
                "event_ns": library and library.notes.event_ns,
            },
            "capture": native.capture,
            "hook": self.hook and str(self.hook),
        }


def doctor(command: Sequence[str] = (), *, build: bool = False) -> Checkup:
    """Which capture `monitor` would use for ``command``, and why.

    Without a command, for the Python that runs this. build: build the native library now, also
    where there is one, or where the last build failed.
    """
    native = diagnose(command, build_now=build)
    return Checkup(native, hook.installed(native.interpreter.path))


def install_hook(python: str | Path = sys.executable, *, remove: bool = False) -> Path | None:
    """Have the Python named ``python`` start the agent under a monitor, also with -E and -I.

    Returns the file that does it. remove: take it out again, and return None when there was none.
    Raises InputError when there is no such Python, or its packages cannot be written to.
    """
    return hook.remove(str(python)) if remove else hook.install(str(python))
