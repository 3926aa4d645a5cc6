"""AI Matrix: one small synthetic benchmark that does the work of your real DNN applications.

Each verb of the command line is a function of the same name here (`import_`, since Python keeps
the word itself). They load when first used, so
that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

from aimatrix.version import VERSION

__all__ = [
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
__version__ = VERSION


def __getattr__(name: str) -> Any:
    if name == "store":  # a package: `aimatrix store compact` is `aimatrix.store.compact(...)`
        return import_module("aimatrix.store")
    if name in __all__:
        return getattr(import_module("aimatrix.api"), name)
    raise AttributeError(f"module 'aimatrix' has no attribute {name!r}")
