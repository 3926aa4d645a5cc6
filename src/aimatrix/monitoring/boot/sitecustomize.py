"""Starts the agent in every Python process of a monitored command; runs before the application.

The launcher puts this folder first on ``PYTHONPATH``, so that Python's own start-up imports this
module. It runs in interpreters that have no aimatrix, of any version: standard library only, and
nothing that costs time. A ``sitecustomize`` of the user's, which this one hides, runs afterwards.
"""

from __future__ import annotations

import os
import sys

import _aimatrix_start  # type: ignore[import-not-found]  # noqa: F401 - its import is the start

_BOOT = os.path.dirname(os.path.abspath(__file__))


def _run_hidden_sitecustomize() -> None:
    """Run the sitecustomize that would have run without us; its errors are the user's own."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = type(sys)("sitecustomize")
    module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


# the application is to see the module path that it would have without us
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _BOOT]
_run_hidden_sitecustomize()
