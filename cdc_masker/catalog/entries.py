"""Entries of the audit by what they tell, in the order of time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Row, column, exists, func, literal, tuple_

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry, audit_note
from cdc_masker.catalog.trail import entries_of
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.ports import Unreadable

__all__ = ["PostgresEntries", "Wanted"]

_ROWS_AT_ONCE = 500
_IDENTITY = ("masked_at", "generation", "incarnation", "topic", "partition", "first_offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: each condition that is given holds for all of them. `table` is `schema.table`, as `columns` has it.

    `outcome`: at least one record came out so. Masked from `since`, and before `until`.
    """

    topic: str | None = None
    generation: int | None = None
    table: str | None = None
    column: str | None = None
    outcome: Fate | None = None
    policy_version: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class PostgresEntries:
    """Reads with the role of an auditor, or of a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pages(
        self, wanted: Wanted, *, newest_first: bool = False, at_once: int = _ROWS_AT_ONCE
    ) -> AsyncIterator[list[AuditEntry]]:
        """All of them, in pages. Raises `SetupError` at a row that is no entry."""
        place = [audit_entry.c[name] for name in _IDENTITY]
        selected = audit_entry.select().where(*_conditions(wanted))
        selected = selected.order_by(*(each.desc() if newest_first else each for each in place)).limit(at_once)
        page = selected
        while True:
            async with self._database.transaction() as connection:
                rows = (await connection.execute(page)).all()
                notes = audit_note.select().where(tuple_(*(audit_note.c[name] for name in _IDENTITY)).in_(_noted(rows)))
                noted = (await connection.execute(notes.order_by(audit_note.c.record_offset))).all()
            by_note: dict[tuple[object, ...], list[Row[Any]]] = {}
            for note in noted:
                by_note.setdefault(_identity(note), []).append(note)
            yield [_entry(row, by_note.get(_identity(row), [])) for row in rows]
            if len(rows) < at_once:
                return
            last = tuple_(*map(literal, _identity(rows[-1])))
            page = selected.where(tuple_(*place) < last if newest_first else tuple_(*place) > last)


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    entry = audit_entry.c
    for name in ("topic", "generation", "policy_version"):
        if (value := getattr(wanted, name)) is not None:
            yield entry[name] == value
    if wanted.outcome is not None:
        yield entry[wanted.outcome.value] > 0
    if wanted.since is not None:
        yield entry.masked_at >= wanted.since
    if wanted.until is not None:
        yield entry.masked_at < wanted.until
    if wanted.table is not None:
        path = (wanted.table,) if wanted.column is None else (wanted.table, wanted.column)
        yield entry["columns"][path].as_string().is_not(None)
    elif wanted.column is not None:
        tables = func.json_each(entry["columns"]).table_valued(column("value", JSON))
        yield exists().where(tables.c.value[wanted.column].as_string().is_not(None))


def _noted(rows: Iterable[Row[Any]]) -> list[tuple[object, ...]]:
    return [_identity(row) for row in rows if row.quarantined or row.dropped]


def _identity(row: Row[Any]) -> tuple[object, ...]:
    return tuple(row._mapping[name] for name in _IDENTITY)


def _entry(row: Row[Any], notes: list[Row[Any]]) -> AuditEntry:
    (entry,) = entries_of([row], notes)
    if isinstance(entry, Unreadable):
        raise SetupError(
            f"a row of {row.topic}[{row.partition}], generation {row.generation}, from offset {row.first_offset} is no entry "
            "as a worker stores it; `cdc-masker audit verify` says more"
        )
    return entry
