"""What an application is called in the log when its user gives it no name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_PYTHON = re.compile(r"(python|pypy)[\d.]*t?")
#: short options of the python command that take a value, in the same word or the next one
_WITH_VALUE = "WX"


def application_name(command: Sequence[str]) -> str:
    """The script or module that ``command`` runs, without folder and ``.py``; else its program.

    ``python train.py`` and ``./train.py`` are ``train``, ``python -m pkg.train`` is
    ``pkg.train``, ``python -c ...`` is ``python``.
    """
    program = Path(command[0]).name if command else ""
    if not _PYTHON.fullmatch(program):
        return program.removesuffix(".py")
    words = iter(command[1:])
    for word in words:
        if word == "-":
            return program
        if not word.startswith("-"):
            return Path(word).name.removesuffix(".py")
        if word == "--check-hash-based-pycs":
            next(words, None)
        elif not word.startswith("--"):
            option, value = _first_with_value(word)
            if option == "m":
                return value or next(words, program)
            if option == "c":
                return program  # its code may hold anything, and does not go into the log
            if option and not value:
                next(words, None)
    return program


def _first_with_value(word: str) -> tuple[str, str]:
    """``-Im`` as ``("m", "")``, ``-Wignore`` as ``("W", "ignore")``, ``-u`` as ``("", "")``."""
    for index, option in enumerate(word[1:], start=1):
        if option in f"cm{_WITH_VALUE}":
            return option, word[index + 1 :]
    return "", ""
