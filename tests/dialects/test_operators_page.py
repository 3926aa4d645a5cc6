"""docs/operators.md has a table made from the rules, which may not fall behind them."""

from pathlib import Path

from aimatrix import ops
from aimatrix.dialects.spellings import with_table

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_table_of_spellings_is_what_the_rules_say() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert with_table(written) == written, "run: make reference"


def test_every_family_has_its_attributes_and_formula_in_the_page() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    named = [row.split("|")[1].replace(",", " ").split() for row in rows]
    for family in ops.families():
        # attributes, formula, spellings
        assert sum(family in names for names in named) >= 3, family
