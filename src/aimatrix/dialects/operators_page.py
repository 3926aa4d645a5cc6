"""The tables of `docs/operators.md`, made from the code: families, formulas, spellings.

``python -m aimatrix.dialects.operators_page docs/operators.md`` writes them into the page, each
between two marks (``<!-- formulas -->`` and ``<!-- end of formulas -->``). What a family says of
its kinds and attributes is read from its docstring, what it costs from its ``formulas``, how it is
spelled from the rules of all dialects.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import wrap

from aimatrix import ops
from aimatrix.dialects import aten, jax, onnx
from aimatrix.dialects.rule import Rule
from aimatrix.ops.formula import Formula

#: a dialect as the page names it -> its rules
DIALECTS: dict[str, Mapping[str, Rule]] = {
    "PyTorch": aten.RULES,
    "ONNX": onnx.RULES,
    "JAX": {**jax.RULES, **jax.GRADIENTS},
}

_USUAL = 3  # spellings of a dialect in the overview
_WIDTH = 118


def with_tables(page: str) -> str:
    """``page`` with the tables of today between its marks."""
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, mark, rest = page.partition(begin)
        if not mark:
            continue
        _, _, after = rest.partition(end)
        page = f"{before}{begin}{table()}{end}{after}"
    return page


def spelled(family: str, rules: Mapping[str, Rule]) -> list[str]:
    """The operators of a dialect that are of this family, in the order of its rules."""
    return [name for name, rule in rules.items() if rule.family == family]


def _families() -> str:
    rows = [_row("family", *DIALECTS), _row(*["---"] * (1 + len(DIALECTS)))]
    for family in sorted(ops.families()):
        link = f"[{family}](#{family})"
        rows.append(_row(link, *(_usual(spelled(family, rules)) for rules in DIALECTS.values())))
    return "\n".join(rows) + "\n"


def _usual(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_USUAL])
    more = len(names) - _USUAL
    return f"{shown} and {more} more" if more > 0 else shown


def _formulas() -> str:
    head = ("family", "output", "MACs", "read", "written", "parameters", "source")
    rows = [_row(*head), _row(*["---"] * len(head))]
    for family in sorted(ops.families()):
        rows += [_formula(family, formula) for formula in ops.family(family).formulas]
    return "\n".join(rows) + "\n"


def _formula(family: str, formula: Formula) -> str:
    return _row(
        f"{family} {formula.of}".strip(),
        formula.output,
        formula.macs,
        formula.read,
        formula.written,
        formula.parameters,
        formula.source,
    )


def _spellings() -> str:
    return "\n".join(_section(family) for family in sorted(ops.families()))


def _section(family: str) -> str:
    lines = [f"### {family}", ""]
    for said in described(family):
        lines += wrap(said, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    lines.append("")
    for dialect, rules in DIALECTS.items():
        names = sorted(spelled(family, rules))
        if names:
            listed = ", ".join(f"`{name}`" for name in names)
            lines.append(f"<details><summary>{dialect}: {len(names)}</summary>\n")
            lines += wrap(listed, _WIDTH, break_long_words=False, break_on_hyphens=False)
            lines.append("\n</details>")
    return "\n".join(lines) + "\n"


def described(family: str) -> list[str]:
    """What the docstrings of a family say of its kinds and of its attributes, an item each."""
    said: dict[str, str] = {}
    for each in type(ops.family(family)).__mro__:
        for part in (each.__doc__ or "").split("\n\n"):
            found = re.match(r"(Kinds?|Attributes): (.*)", " ".join(part.split()))
            if found:
                said.setdefault(found[1], found[2])
    return [f"- **{topic}:** {text}" for topic, text in said.items()]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


_TABLES: dict[str, Callable[[], str]] = {
    "families": _families,
    "formulas": _formulas,
    "spellings": _spellings,
}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
