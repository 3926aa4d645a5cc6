"""Tells failures of ours from what the application raises while code of ours runs.

Python runs the handlers of signals between any two steps of the main thread, ours too. What such a
handler raises (an alarm's timeout, Ctrl-C) is meant for the application, and must reach it.
"""

from __future__ import annotations

import os

import torch

_FOLDERS = os.path.dirname(__file__) + os.sep, os.path.dirname(torch.__file__) + os.sep


def is_ours(error: BaseException) -> bool:
    """Whether it was raised in our code or torch's, with nothing else in between.

    Call it where the error was caught by code of ours that calls none of the application's.
    """
    if not isinstance(error, Exception):
        return False
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_FOLDERS):
            return False
        step = step.tb_next
    return True
