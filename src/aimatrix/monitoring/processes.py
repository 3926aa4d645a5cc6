"""Runs a program beside the monitored ones (interpreter, compiler) so that it cannot hold us up."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; ``code`` is None when it took too long and was killed."""

    code: int | None
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last line that it wrote on standard error."""
        lines = self.err.strip().splitlines()
        return lines[-1].strip() if lines else ""


def run(words: Sequence[str], *, environment: Mapping[str, str], timeout: float) -> Ended:
    """Run ``words`` to their end, unwatched; OSError when they cannot be started.

    After ``timeout`` seconds, all processes that it has started are killed with it.
    """
    environment = {name: value for name, value in environment.items() if name != "AIMATRIX_SPOOL"}
    # files, since a pipe ends only when the last process that has inherited it does
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            list(words),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also when we are interrupted: a compiler starts others to do the work
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))
