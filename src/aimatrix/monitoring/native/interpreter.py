"""Finds the Python that a command is going to run, and the torch that it is going to import.

Nothing is imported to learn this: the interpreter only says where its torch lies (some 50 ms).
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aimatrix.monitoring.processes import Ended, run

#: seconds after which an interpreter that has not said what it is counts as none
PATIENCE = 20.0
#: words of a command that are looked at: wrappers (env, nice, timeout) come first
_WORDS = 16

_PYTHON = re.compile(r"(python|pypy)[\d.]*t?")
#: pip's way round the limits of a first line: a script of the shell that starts Python
_SHELL_EXEC = re.compile(r"""'''exec' (?:"([^"]+)"|(\S+))""")
_ASSIGNMENT = re.compile(
    r"__version__\s*=\s*['\"](?P<version>[^'\"]+)|git_version\s*=\s*['\"](?P<git>[^'\"]+)"
)

#: the folder of the application itself is left out: torch is not there
_PROBE = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import importlib.util, json
spec = importlib.util.find_spec("torch")
folders = spec and spec.submodule_search_locations or [None]
python = "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"python": python, "torch": folders[0]}))
"""


@dataclass(frozen=True, slots=True)
class Torch:
    """An installed torch: its folder, ``torch.__version__`` and ``torch.version.git_version``."""

    folder: Path
    version: str
    git: str


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: the file that starts it, its version, its torch. None where there is none."""

    path: str
    python: str | None
    torch: Torch | None


def find_interpreter(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """The Python that ``command`` runs, as far as it can be told; else the one that runs us.

    It is named by the command (``python``, also after ``env``, ``nice`` or ``timeout 60``) or by
    the first line of a script (``torchrun`` and all console scripts).
    """
    search = environment.get("PATH")
    for word in command[:_WORDS]:
        program = shutil.which(word, path=search)
        found = _python_of(program, search) if program else None
        if found:
            return found
    return sys.executable


def probe(path: str, environment: Mapping[str, str]) -> Interpreter:
    """What the Python at ``path`` is, without importing its torch; it does not raise."""
    try:
        ended = run([path, "-c", _PROBE], environment=environment, timeout=PATIENCE)
    except OSError:
        return Interpreter(path, None, None)
    stated = _stated(ended)
    folder = stated.get("torch")
    return Interpreter(path, stated.get("python"), _installed(Path(folder)) if folder else None)


def _python_of(program: str, search: str | None) -> str | None:
    if _PYTHON.fullmatch(Path(program).name):
        return program
    named = _named_by_script(program)
    return shutil.which(named, path=search) if named else None


def _named_by_script(program: str) -> str | None:
    """The Python in a script's first lines."""
    try:
        with open(program, "rb") as file:
            head = file.read(1024).decode(errors="replace")
    except OSError:
        return None
    if not head.startswith("#!"):
        return None
    first, _, rest = head.partition("\n")
    shell = _SHELL_EXEC.match(rest)
    words = [shell[1] or shell[2]] if shell else shlex.split(first[2:], posix=True)
    # all of them, for env and its options: #!/usr/bin/env -S python3 -u
    return next((word for word in words if _PYTHON.fullmatch(Path(word).name)), None)


def _stated(ended: Ended) -> dict[str, str | None]:
    # what runs at its start-up may have printed something before
    lines = ended.out.strip().splitlines()
    if ended.code != 0 or not lines:
        return {}
    try:
        stated = json.loads(lines[-1])
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


def _installed(folder: Path) -> Torch | None:
    """The torch in ``folder``; None when that is another thing of this name."""
    try:
        text = (folder / "version.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = {
        name: word
        for match in _ASSIGNMENT.finditer(text)
        for name, word in match.groupdict().items()
        if word
    }
    return Torch(folder, found["version"], found.get("git", "")) if "version" in found else None
