"""The reference page of the command line, made from its help texts.

``python -m aimatrix.cli.reference`` prints `docs/command-line.md`; a test fails when that is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from aimatrix.cli.app import app

HEAD = """# Command line

Each verb is a Python function of the same name in `aimatrix` (`aimatrix.analyze(...)`), with the
same arguments as Python values: lists, numbers, datetimes. `--json` prints one JSON object on
standard output and nothing else. Exit codes: 0 done, 1 the work failed, 2 wrong use or bad input;
the message names the file, the field and the mend. `aimatrix monitor` ends as its command ends.

This page is made from the help texts: `make reference`.
"""


def page() -> str:
    """The whole page, in Markdown."""
    group: Any = typer.main.get_command(app)
    return "\n".join([HEAD, *(_verb(*each) for each in _verbs(group, ""))])


def _verbs(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    """The verbs of a group by their names, and those of the groups in it."""
    for name, verb in group.commands.items():
        if hasattr(verb, "commands"):
            yield from _verbs(verb, f"{before}{name} ")
        else:
            yield before + name, verb


def _verb(name: str, verb: Any) -> str:
    rows = [_row(parameter) for parameter in verb.params]
    usage = ["aimatrix", name, "[OPTIONS]", *map(_argument, filter(_is_argument, verb.params))]
    table = "\n".join(["| | | default |", "|---|---|---|", *rows])
    return f"## aimatrix {name}\n\n`{' '.join(usage)}`\n\n{_text(verb.help)}\n\n{table}\n"


def _row(parameter: Any) -> str:
    spelling = _argument(parameter) if _is_argument(parameter) else ", ".join(parameter.opts)
    default = parameter.default
    shown = "" if default is None or default is False or default == [] else f"`{default}`"
    required = "required" if parameter.required else shown
    return f"| `{spelling}` | {_text(parameter.help)} | {required} |"


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(page(), end="")
