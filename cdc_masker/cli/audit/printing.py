"""How the commands of `cdc-masker audit` print rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_rows"]


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal, elsewhere lines with tabs between."""
    console = Console()
    if console.is_terminal:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for row in (columns, *rows):
        print("\t".join(row))
