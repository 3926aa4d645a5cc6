"""The table of each family's operators, in `docs/operators.md`: made from the rules themselves.

``python -m aimatrix.dialects.spellings docs/operators.md`` writes it into the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aimatrix import ops
from aimatrix.dialects import aten

_BEGIN, _END = "<!-- spellings -->\n", "<!-- end of spellings -->\n"


def with_table(page: str) -> str:
    """``page`` with the table of today between its marks."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{_table()}{_END}{after}"


def _table() -> str:
    rows = ["| family | PyTorch |", "|---|---|"]
    rows += [f"| {family} | {_spelled(family)} |" for family in ops.families()]
    return "\n".join(rows) + "\n"


def _spelled(family: str) -> str:
    names = sorted(name for name, rule in aten.RULES.items() if rule.family == family)
    return ", ".join(f"`{name}`" for name in names) or "all others"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
