"""The figures of README.md are those of the file that `make fidelity` wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    from fidelity_document import readme_table

    results = ROOT / "benchmarks" / "results" / "fidelity.json"
    document = json.loads(results.read_text(encoding="utf-8"))
    assert readme_table(document) in (ROOT / "README.md").read_text(encoding="utf-8")
