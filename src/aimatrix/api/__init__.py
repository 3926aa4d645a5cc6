"""The verbs as functions: each joins stages and files, takes plain values and returns artefacts."""

from aimatrix.api.demo import Demonstration, demo
from aimatrix.api.verbs import (
    Comparison,
    Synthesized,
    analyze,
    compare,
    monitor,
    report,
    run,
    synthesize,
    validate,
)

__all__ = [
    "Comparison",
    "Demonstration",
    "Synthesized",
    "analyze",
    "compare",
    "demo",
    "monitor",
    "report",
    "run",
    "synthesize",
    "validate",
]
