"""Tells failures of ours from what the application raises while code of ours runs.

Python runs the handlers of signals between any two steps of the main thread, ours too. What such a
handler raises (an alarm's timeout, Ctrl-C) is meant for the application, and must reach it.
"""

from __future__ import annotations

import os
import sys

_OURS = os.path.dirname(__file__) + os.sep
#: frameworks whose code ours calls
_FRAMEWORKS = ("torch", "onnxruntime", "jax", "numpy")


def is_ours(error: BaseException) -> bool:
    """Whether it was raised in our code or a framework's, with nothing else in between.

    Call it where the error was caught by code of ours that calls none of the application's.
    """
    if not isinstance(error, Exception):
        return False
    folders = (_OURS, *_folders())
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(folders):
            return False
        step = step.tb_next
    return True


def _folders() -> list[str]:
    files = [getattr(sys.modules.get(name), "__file__", None) for name in _FRAMEWORKS]
    return [os.path.dirname(file) + os.sep for file in files if file]
