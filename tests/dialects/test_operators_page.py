"""docs/operators.md has tables made from the code, which it may not fall behind."""

from pathlib import Path

import pytest

from aimatrix import ops
from aimatrix.dialects.operators_page import DIALECTS, described, with_tables

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_tables_are_what_the_code_says() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert with_tables(written) == written, "run: make reference"


def test_only_what_stands_between_the_marks_is_made_anew() -> None:
    page = "before\n<!-- families -->\nwas there\n<!-- end of families -->\nafter\n"
    made = with_tables(page)
    assert made.startswith("before\n<!-- families -->\n| family |")
    assert "<!-- end of families -->\nafter\n" in made
    assert "was there" not in made


def test_every_rule_is_in_the_page_under_its_family() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n### ")
    by_family = {section.partition("\n")[0]: section for section in sections[1:]}
    for rules in DIALECTS.values():
        for name, rule in rules.items():
            assert f"`{name}`" in by_family[rule.family], name


@pytest.mark.parametrize("family", ops.families())
def test_every_family_tells_its_kinds_attributes_formulas_and_their_source(family: str) -> None:
    found = ops.family(family)
    said = " ".join(described(family))
    assert said.startswith("- **Kind")
    for attribute in found.required:
        assert attribute in said, f"the docstring of {family} does not tell {attribute}"
    assert found.formulas
    for formula in found.formulas:
        told = (formula.output, formula.macs, formula.read, formula.written, formula.source)
        assert all(told), told
