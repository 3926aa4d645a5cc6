"""Starts the agent in this process, once, by being imported.

`sitecustomize` beside this file imports it, and so does the hook that `aimatrix install-hook` puts
into an interpreter: whichever comes first. It runs in interpreters that have no aimatrix, of any
version: standard library only, and nothing that costs time.
"""

from __future__ import annotations

import os
import sys


def _start_agent() -> None:
    # made by hand instead of with importlib.util, whose import takes longer than all of this
    package = type(sys)("_aimatrix_agent")
    boot = os.path.dirname(os.path.abspath(__file__))
    package.__path__ = [os.path.join(os.path.dirname(boot), "agent")]
    sys.modules[package.__name__] = package
    from _aimatrix_agent.import_hook import install  # type: ignore[import-not-found]

    install(os.environ["AIMATRIX_SPOOL"])


if sys.version_info >= (3, 9) and "AIMATRIX_SPOOL" in os.environ:
    try:
        _start_agent()
    except Exception as error:
        sys.stderr.write(f"aimatrix: this process is not watched: {error!r}\n")
