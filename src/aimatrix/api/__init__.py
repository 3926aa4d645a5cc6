"""The verbs as functions: each joins stages and files, takes plain values and returns artefacts."""

from aimatrix.api.demo import Demonstration, demo
from aimatrix.api.setup import Checkup, doctor, install_hook
from aimatrix.api.verbs import (
    Comparison,
    Synthesized,
    analyze,
    collect,
    compare,
    monitor,
    report,
    run,
    synthesize,
    validate,
)
from aimatrix.monitoring import Leftover

__all__ = [
    "Checkup",
    "Comparison",
    "Demonstration",
    "Leftover",
    "Synthesized",
    "analyze",
    "collect",
    "compare",
    "demo",
    "doctor",
    "install_hook",
    "monitor",
    "report",
    "run",
    "synthesize",
    "validate",
]
