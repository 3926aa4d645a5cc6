"""What an application is called in the log when its user gives it no name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: options of the python command that take a value as the next word
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def application_name(command: Sequence[str]) -> str:
    """The script or module that ``command`` runs, without folder and ``.py``; else its program.

    ``python train.py`` and ``./train.py`` are ``train``, ``python -m pkg.train`` is
    ``pkg.train``, ``python -c ...`` is ``python``.
    """
    program = Path(command[0]).name if command else ""
    if not program.startswith("python"):
        return program.removesuffix(".py")
    words = iter(command[1:])
    for word in words:
        if word == "-m":
            return next(words, program)
        if word in ("-c", "-"):
            return program
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return Path(word).name.removesuffix(".py")
    return program
