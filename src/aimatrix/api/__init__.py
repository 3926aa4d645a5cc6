"""The verbs as functions: each joins stages and files, takes plain values and returns artefacts.

They load when first used: the monitor is not to carry what reports need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimatrix.api.demonstration import Demonstration, demo
    from aimatrix.api.importing import ImportedFile, import_
    from aimatrix.api.setup import Checkup, doctor, install_hook
    from aimatrix.api.verbs import (
        Comparison,
        Synthesized,
        analyze,
        compare,
        report,
        run,
        synthesize,
        validate,
    )
    from aimatrix.api.watching import collect, monitor
    from aimatrix.monitoring import Leftover

__all__ = [
    "Checkup",
    "Comparison",
    "Demonstration",
    "ImportedFile",
    "Leftover",
    "Synthesized",
    "analyze",
    "collect",
    "compare",
    "demo",
    "doctor",
    "import_",
    "install_hook",
    "monitor",
    "report",
    "run",
    "synthesize",
    "validate",
]

_HOMES = {
    **dict.fromkeys(("collect", "monitor", "Leftover"), "aimatrix.api.watching"),
    **dict.fromkeys(("ImportedFile", "import_"), "aimatrix.api.importing"),
    **dict.fromkeys(("Checkup", "doctor", "install_hook"), "aimatrix.api.setup"),
    **dict.fromkeys(("Demonstration", "demo"), "aimatrix.api.demonstration"),
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "aimatrix.api.verbs")), name)
    raise AttributeError(f"module 'aimatrix.api' has no attribute {name!r}")
