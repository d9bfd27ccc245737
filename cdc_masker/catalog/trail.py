"""The audit's rows in the order of their chains, in pages, as whoever verifies them needs them.

What always holds: each row of the audit is given, as an entry or as something that is none. A row is an entry only if it is
just what appending that entry would store, so that nothing in it can be changed unseen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, func, literal, select, tuple_

from cdc_masker.catalog.audit import entry_of, entry_row, note_row
from cdc_masker.catalog.chain import Chain as Versions
from cdc_masker.catalog.chain import Known
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry, audit_note, generation, receipt
from cdc_masker.errors import UnverifiedError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import decode_entry, encode_entry
from cdc_masker.exports import BadExport, Manifest, decode_manifest
from cdc_masker.heads import Chain
from cdc_masker.ports import Unreadable

__all__ = ["Extent", "PostgresTrail", "Registered", "entries_of"]

_ROWS_AT_ONCE = 500
_CHAIN = ("generation", "topic", "partition", "incarnation")
_NOT_ENTRIES = ("stored_at",)


class Extent(NamedTuple):
    """What is known of a chain without reading it: where its last row begins, and which incarnation closed it, if one did."""

    last_first_offset: int
    successor: str | None


@dataclass(frozen=True, slots=True)
class Registered:
    """A generation of a topic, of any state."""

    topic: str
    generation: int
    output_topic: str
    policy_version: int
    key_epoch: int
    state: str


class PostgresTrail:
    """Reads with the role of an auditor."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def generations(self) -> list[Registered]:
        """All that there ever were, in the order of topics and numbers."""
        table = generation.c
        columns = (table.topic, table.generation, table.output_topic, table.policy_version, table.key_epoch, table.state)
        async with self._database.transaction() as connection:
            return [Registered(*row) for row in await connection.execute(select(*columns).order_by(*columns[:2]))]

    async def versions(self) -> tuple[Sequence[Known], str | None]:
        """The policy versions that verify, in order, and why the next one does not, if there is one."""
        versions = Versions()
        async with self._database.transaction() as connection:
            try:
                await versions.follow(connection)
            except UnverifiedError as error:
                return versions.versions, f"{error.place}: {error.problem}"
        return versions.versions, None

    async def chains(self) -> Mapping[Chain, Extent]:
        """Each chain of which there is a row, of an entry or of a note."""
        entry, note = (tuple(table.c[name] for name in _CHAIN) for table in (audit_entry, audit_note))
        successor = func.max(audit_entry.c.accepted["incarnation"].as_string())
        entries = select(*entry, func.max(audit_entry.c.first_offset), successor).group_by(*entry)
        notes = select(*note, func.max(audit_note.c.first_offset), literal(None)).group_by(*note)
        async with self._database.transaction() as connection:
            found = {Chain(*row[:4]): Extent(row[4], row[5]) for row in await connection.execute(notes)}
            for row in await connection.execute(entries):
                chain, extent = Chain(*row[:4]), Extent(row[4], row[5])
                beside = found.get(chain, extent)
                last = max(extent.last_first_offset, beside.last_first_offset)
                found[chain] = Extent(last, extent.successor)
        return found

    async def rows(self, chain: Chain, through: int, start: int = 0) -> AsyncIterator[list[AuditEntry | Unreadable]]:
        """The chain's rows that begin from offset `start` to `through`, both included, in pages."""
        before: tuple[int, datetime] | None = None
        while True:
            async with self._database.transaction() as connection:
                wanted = _after(audit_entry, chain, before).where(audit_entry.c.first_offset.between(start, through))
                rows = (await connection.execute(wanted.limit(_ROWS_AT_ONCE))).all()
                last = (rows[-1].first_offset, rows[-1].masked_at) if len(rows) == _ROWS_AT_ONCE else None
                notes = _after(audit_note, chain, before).where(audit_note.c.first_offset.between(start, through))
                if last is not None:
                    notes = notes.where(
                        tuple_(audit_note.c.first_offset, audit_note.c.masked_at) <= tuple_(*map(literal, last))
                    )
                noted = (await connection.execute(notes.order_by(audit_note.c.record_offset))).all()
            yield entries_of(rows, noted)
            if last is None:
                return
            before = last

    async def covering(self, topic: str, generation: int, partition: int, offset: int) -> list[tuple[Chain, int]]:
        """The chains that cover that offset, and the first offset of the entry that does."""
        entry = audit_entry.c
        wanted = select(*(entry[name] for name in _CHAIN), entry.first_offset).where(
            *(entry[name] == value for name, value in zip(_CHAIN, (generation, topic, partition), strict=False)),
            entry.first_offset <= offset,
            entry.last_offset >= offset,
        )
        async with self._database.transaction() as connection:
            return [(Chain(*row[:4]), row[4]) for row in await connection.execute(wanted)]

    async def published_before(self, chain: Chain, offset: int) -> int:
        """How many records the chain's entries before that one published, as far as they are here."""
        entry = audit_entry.c
        wanted = select(func.coalesce(func.sum(entry.masked + entry.control), 0)).where(
            *(entry[name] == value for name, value in zip(_CHAIN, chain, strict=True)), entry.first_offset < offset
        )
        async with self._database.transaction() as connection:
            return int((await connection.execute(wanted)).scalar_one())

    async def retired(self) -> list[Manifest]:
        """What retention took, as its receipts tell. Raises `BadExport` for a receipt that tells nothing."""
        wanted = select(receipt.c.detail, receipt.c.id).where(receipt.c.kind == "retire").order_by(receipt.c.id)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
        found = []
        for row in rows:
            try:
                found.append(decode_manifest(msgspec.json.encode(row.detail)))
            except BadExport as error:
                raise BadExport(f"receipt {row.id}", error.problem) from None
        return found


def _after(table: Any, chain: Chain, before: tuple[int, datetime] | None) -> Any:
    """The chain's rows of a table behind those with that first offset and time."""
    wanted = table.select().where(*(table.c[name] == value for name, value in zip(_CHAIN, chain, strict=True)))
    place = (table.c.first_offset, table.c.masked_at)
    if before is not None:
        wanted = wanted.where(tuple_(*place) > tuple_(*map(literal, before)))
    return wanted.order_by(*place)


def entries_of(rows: Iterable[Row[Any]], notes: Iterable[Row[Any]]) -> list[AuditEntry | Unreadable]:
    """The entries of these rows and of the rows of their notes; a note that is of none of them is something else."""
    of_entries: dict[tuple[int, datetime], list[Row[Any]]] = {}
    for note in notes:
        of_entries.setdefault((note.first_offset, note.masked_at), []).append(note)
    found = [_entry(row, of_entries.pop((row.first_offset, row.masked_at), [])) for row in rows]
    strays = [Unreadable(offset, "a row of a note belongs to no entry") for offset, _ in of_entries]
    return sorted([*found, *strays], key=lambda each: each.offset if isinstance(each, Unreadable) else each.first_offset)


def _entry(row: Row[Any], notes: list[Row[Any]]) -> AuditEntry | Unreadable:
    try:
        entry = entry_of(row, notes)
        as_written = decode_entry(encode_entry(entry)) == entry
        gaps = [list(gap) for gap in entry.gaps]  # as JSON gives them back
        same = _plain(row, {**entry_row(entry), "gaps": gaps}) and all(
            _plain(note, note_row(entry, each)) for note, each in zip(notes, entry.notes, strict=True)
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError):
        as_written = same = False
    if as_written and same:
        return entry
    return Unreadable(row.first_offset, "its row, or a row of its notes, is not as a worker stores it")


def _plain(row: Row[Any], stored: Mapping[str, Any]) -> bool:
    """Whether a row is what is stored."""
    return {name: value for name, value in row._mapping.items() if name not in _NOT_ENTRIES} == stored
