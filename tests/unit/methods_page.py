"""Writes the tables of docs/methods.md: `python -m tests.unit.methods_page`. A test says when they are out of date."""

from __future__ import annotations

from pathlib import Path

from cdc_masker.cli.methods import markdown
from cdc_masker.methods import METHODS

__all__ = ["PAGE", "text"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
_START, _END = "<!-- tables: python -m tests.unit.methods_page -->\n", "<!-- end of tables -->\n"


def text() -> str:
    """The whole page, with the tables as the code has them."""
    page = PAGE.read_text()
    head, tail = page.split(_START)[0], page.split(_END)[1]
    return f"{head}{_START}\n{markdown(METHODS)}\n{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(text())
