"""Runs small programs under the monitor and gives what came of them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from aimatrix.monitoring import Run, WindowCount, run_monitored, this_host

ATTRIBUTES = {
    "aten::convolution": ("stride", "padding", "dilation", "groups"),
    "aten::conv2d": ("stride", "padding", "dilation", "groups"),
}


@dataclass
class Outcome:
    """What a monitored program did, as its user sees it, and what was counted."""

    returncode: int
    stdout: str
    stderr: str
    counts: list[WindowCount]
    spool: Path

    def calls(self, name: str, **matching: str) -> int:
        """Calls of the operator ``name`` over all processes."""
        return sum(
            count.calls
            for count in self.counts
            if count.raw.name == name
            and all(getattr(count.raw, key) == value for key, value in matching.items())
        )


Watch = Callable[..., Outcome]


@pytest.fixture
def watch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Watch:
    """Run a Python program, or a command, under the monitor."""

    def run(
        program: str | None = None,
        *,
        command: list[str] | None = None,
        capture: str = "native",
        attributes: Mapping[str, Sequence[str]] = ATTRIBUTES,
        window_seconds: float = 3600.0,
        on_window: Callable[[list[WindowCount]], None] | None = None,
        budget: float = 0.05,
        time: bool = False,
    ) -> Outcome:
        if program is not None:
            path = tmp_path / "program.py"
            path.write_text(textwrap.dedent(program))
            command = [sys.executable, str(path)]
        assert command is not None
        counts: list[WindowCount] = []
        capfd.readouterr()
        returncode = run_monitored(
            command,
            Run("program", this_host(), window_seconds),
            spool=tmp_path / "spools" / "run",
            attributes=attributes,
            on_window=on_window or counts.extend,
            capture=capture,
            budget=budget,
            time=time,
        )
        out, err = capfd.readouterr()
        return Outcome(returncode, out, err, counts, tmp_path / "spools" / "run")

    return run
