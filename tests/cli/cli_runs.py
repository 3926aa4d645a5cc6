"""Runs the command line as a user does: in a process of its own, without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: a small application: five convolutions in two sizes, one of them strided, and other work
APPLICATION = '''
"""A small network."""

import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 7, stride=2, padding=3)
        self.body = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, groups=2),
            nn.MaxPool2d(4), nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64),
            nn.Conv2d(64, 64, 3, padding=1),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def application():
    torch.manual_seed(0)
    return Small().eval(), (torch.rand(1, 3, 64, 64),)


if __name__ == "__main__":
    model, inputs = application()
    with torch.no_grad():
        print(tuple(model(*inputs).shape))
'''

SUITE = """
[[applications]]
name = "small"
entry = "small_app:application"
weight = 1
"""


@dataclass
class Ended:
    """What a command left on its user's screen."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Its standard output as the one JSON object that it has to be."""
        assert self.code == 0, self.err
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def refusal(self) -> str:
        """The one sentence of a command that was used wrongly."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        [line] = self.err.splitlines()
        assert line.startswith("aimatrix: ")
        return line.removeprefix("aimatrix: ")


def aimatrix(*words: str | Path, folder: Path) -> Ended:
    """Run ``aimatrix WORDS`` in ``folder``."""
    ended = subprocess.run(
        [sys.executable, "-m", "aimatrix", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr or words[0] == "monitor", ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)
