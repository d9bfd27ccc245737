"""Writes the reasons into docs/operations.md: `python -m tests.unit.reasons_table`. A test says when they are out of date."""

from __future__ import annotations

from pathlib import Path

from cdc_masker.reasons import MEANINGS

__all__ = ["PAGE", "text"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
_START, _END = "<!-- table: python -m tests.unit.reasons_table -->\n", "<!-- end of table -->\n"


def text() -> str:
    """The whole page, with the table as the code has it."""
    page = PAGE.read_text()
    head, tail = page.split(_START)[0], page.split(_END)[1]
    rows = "".join(f"| `{reason}` | {each.means} | {each.remedy} |\n" for reason, each in MEANINGS.items())
    return f"{head}{_START}\n| reason | what it means | what to do |\n| --- | --- | --- |\n{rows}\n{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(text())
