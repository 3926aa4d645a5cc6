"""Imported for what it does: the networks of benchmarks/suite can be imported after it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "suite"))
