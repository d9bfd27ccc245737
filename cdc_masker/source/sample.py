"""Some values of some columns, for classifiers. They leave the process in no form: not in errors, not in drafts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from cdc_masker.drafting.tables import ColumnName

__all__ = ["sample"]

_CHARACTERS = 200


async def sample(connection: Any, columns: Iterable[ColumnName], rows: int) -> dict[ColumnName, tuple[str, ...]]:
    """The first characters of the values in at most that many rows of each table: as texts, without nulls."""
    found: dict[ColumnName, tuple[str, ...]] = {}
    for table, of_table in groupby(sorted(columns), lambda name: name.of):
        names = list(of_table)
        values = ", ".join(f"left({_quoted(name.column)}::text, {_CHARACTERS})" for name in names)
        query = f"SELECT {values} FROM {_quoted(table.schema)}.{_quoted(table.table)} LIMIT $1"  # noqa: S608 - names are quoted
        taken = await connection.fetch(query, rows)
        for number, name in enumerate(names):
            found[name] = tuple(row[number] for row in taken if row[number] is not None)
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
