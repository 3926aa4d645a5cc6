"""Tells the person one line, and never fails: the agent's only way to speak."""

from __future__ import annotations

import sys

#: what each line begins with
NOTICE = "aimatrix: "


def notice(message: str) -> None:
    """Write ``aimatrix: message`` to the process's original standard error, if it has one."""
    try:
        stream = sys.__stderr__
        if stream is not None:
            stream.write(f"{NOTICE}{message}".replace("\n", " ").rstrip() + "\n")
            stream.flush()
    except Exception:
        pass  # standard error is closed: there is no one to tell, and the application runs on
