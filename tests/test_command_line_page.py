"""docs/command-line.md is made from the help texts and may not fall behind them."""

from pathlib import Path

from aimatrix.cli.reference import page


def test_the_page_is_what_the_help_texts_say() -> None:
    written = Path(__file__).parents[1] / "docs" / "command-line.md"
    assert written.read_text(encoding="utf-8") == page(), "run: make reference"
