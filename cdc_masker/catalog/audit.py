"""Audit entries as append-only rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, func, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import insert

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry, audit_note
from cdc_masker.errors import Reason, SetupError
from cdc_masker.events import Acceptance, AuditEntry, Fate, Note
from cdc_masker.ports import Quarantined
from cdc_masker.settings import PREFIX

__all__ = ["PostgresAudit", "entry_of", "entry_row", "note_row"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_IDENTITY = tuple(audit_entry.c[name] for name in ("generation", "incarnation", "topic", "partition", "first_offset"))
_KEY = (*_IDENTITY, audit_entry.c.masked_at)
_NOTE_OF = tuple(audit_note.c[column.name] for column in _KEY)


class PostgresAudit:
    """The port `AuditStore` on PostgreSQL, and what reads the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """Raises `SetupError` when this login may not append entries, before there is anything to append."""
        schema = self._database.schema
        tables = [f'"{schema}".{table.name}' for table in (audit_entry, audit_note)]
        async with self._database.transaction() as connection:
            rights = await connection.execute(select(*(func.has_table_privilege(table, "INSERT") for table in tables)))
        if not all(rights.one()):
            raise SetupError(
                f"the login in {PREFIX}DATABASE_URL may not append to the audit; grant it the role {schema}_worker"
            )

    async def make_room(self) -> None:
        """Makes the partitions of this month and the next three, where they are not there."""
        functions = getattr(func, self._database.schema)
        async with self._database.transaction() as connection:
            await connection.execute(select(functions.make_audit_partitions()))

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        """Stores entries with their notes, all or none; one that is there is left as it is. Gives the number of new ones."""
        if not entries:
            return 0
        notes = [note_row(entry, note) for entry in entries for note in entry.notes]
        async with self._database.transaction() as connection:
            stored = await connection.execute(
                insert(audit_entry).on_conflict_do_nothing().returning(audit_entry.c.first_offset),
                [entry_row(entry) for entry in entries],
            )
            new = len(stored.all())
            if notes:
                await connection.execute(insert(audit_note).on_conflict_do_nothing(), notes)
        return new

    async def last(self, generation: int, incarnation: str, topic: str, partition: int) -> AuditEntry | None:
        """The last entry of a chain, None without any."""
        chain = _of_chain(generation, incarnation, topic, partition)
        found = await self._read(audit_entry.select().where(*chain).order_by(audit_entry.c.first_offset.desc()).limit(1))
        return found[0] if found else None

    async def login(self) -> str:
        """Who asks, as the catalog knows them."""
        async with self._database.transaction() as connection:
            found: str = (await connection.execute(select(func.session_user()))).scalar_one()
        return found

    async def last_of_each(self) -> list[AuditEntry]:
        """The last entry of each chain, in one snapshot."""
        return await self._read(_last_of_each())

    async def ending_at(self, generation: int, incarnation: str, topic: str, partition: int, offset: int) -> AuditEntry | None:
        """The entry of a chain whose last offset that is, None if there is none."""
        chain = _of_chain(generation, incarnation, topic, partition)
        around = audit_entry.select().where(*chain, audit_entry.c.first_offset <= offset)
        found = await self._read(around.order_by(audit_entry.c.first_offset.desc()).limit(1))
        return found[0] if found and found[0].last_offset == offset else None

    async def following(self, generation: int, incarnation: str, topic: str, partition: int, offset: int) -> AuditEntry | None:
        """The first entry of a chain that begins after that offset, None if there is none."""
        chain = _of_chain(generation, incarnation, topic, partition)
        after = audit_entry.select().where(*chain, audit_entry.c.first_offset > offset)
        found = await self._read(after.order_by(audit_entry.c.first_offset).limit(1))
        return found[0] if found else None

    async def masked_between(self, begin: datetime, end: datetime, *, after: AuditEntry | None, limit: int) -> list[AuditEntry]:
        """The entries masked from `begin` to before `end`, chain by chain, in the order of offsets, from after one on."""
        masked_at = audit_entry.c.masked_at
        wanted = audit_entry.select().where(masked_at >= begin, masked_at < end)
        if after is not None:
            row = entry_row(after)
            wanted = wanted.where(tuple_(*_KEY) > tuple_(*(literal(row[column.name], column.type) for column in _KEY)))
        return await self._read(wanted.order_by(*_KEY).limit(limit))

    async def quarantined(
        self,
        limit: int,
        *,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        reason: str | None = None,
        since: datetime | None = None,
    ) -> list[Quarantined]:
        """The newest records that were quarantined, newest first; each condition that is given holds for all of them."""
        note, entry = audit_note.c, audit_entry.c
        wanted = (
            select(audit_note, entry.policy_version, entry.key_epoch, entry.masked_at, entry.worker)
            .join(audit_entry, tuple_(*_NOTE_OF) == tuple_(*_KEY))
            .where(note.fate == Fate.QUARANTINED.value)
            .order_by(entry.masked_at.desc(), *_NOTE_OF, note.record_offset)
            .limit(limit)
        )
        for column, value in (
            (note.topic, topic),
            (note.partition, partition),
            (note.record_offset, offset),
            (note.reason, reason),
        ):
            if value is not None:
                wanted = wanted.where(column == value)
        if since is not None:
            wanted = wanted.where(entry.masked_at >= since)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
        return [
            Quarantined(
                topic=row.topic,
                partition=row.partition,
                offset=row.record_offset,
                timestamp=row.record_timestamp,
                reason=row.reason,
                place=row.place,
                generation=row.generation,
                incarnation=row.incarnation,
                policy_version=row.policy_version,
                key_epoch=row.key_epoch,
                masked_at=row.masked_at,
                worker=row.worker,
            )
            for row in rows
        ]

    async def _read(self, wanted: Select[Any]) -> list[AuditEntry]:
        """The entries of these rows of `audit_entry`, with their notes."""
        noted: defaultdict[tuple[Any, ...], list[Row[Any]]] = defaultdict(list)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
            if keys := [_key(row) for row in rows if row.quarantined or row.dropped]:
                notes = audit_note.select().where(tuple_(*_NOTE_OF).in_(keys)).order_by(audit_note.c.record_offset)
                for note in await connection.execute(notes):
                    noted[_key(note)].append(note)
        return [entry_of(row, noted[_key(row)]) for row in rows]


def entry_row(entry: AuditEntry) -> dict[str, Any]:
    """The row of an entry, but its notes."""
    return {
        "generation": entry.generation,
        "incarnation": entry.incarnation,
        "topic": entry.topic,
        "partition": entry.partition,
        "first_offset": entry.first_offset,
        "last_offset": entry.last_offset,
        "gaps": entry.gaps,
        **{fate.value: entry.counts[fate] for fate in Fate},
        "columns": entry.columns,
        "root": entry.root,
        "previous": entry.previous,
        "policy_version": entry.policy_version,
        "policy_digest": entry.policy_digest,
        "policy_seal": entry.policy_seal,
        "shape_version": entry.shape_version,
        "key_epoch": entry.key_epoch,
        "masked_at": _EPOCH + entry.masked_at * _MILLISECOND,
        "worker": entry.worker,
        "program": entry.program,
        "accepted": None if entry.accepted is None else msgspec.to_builtins(entry.accepted),
    }


def note_row(entry: AuditEntry, note: Note) -> dict[str, Any]:
    """The row of an entry's note."""
    return {
        "generation": entry.generation,
        "incarnation": entry.incarnation,
        "topic": entry.topic,
        "partition": entry.partition,
        "record_offset": note.offset,
        "first_offset": entry.first_offset,
        "record_timestamp": note.timestamp,
        "fate": note.fate.value,
        "reason": note.reason.value,
        "place": note.place,
        "masked_at": _EPOCH + entry.masked_at * _MILLISECOND,
    }


def _key(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[column.name] for column in _KEY)


def entry_of(row: Row[Any], notes: Iterable[Row[Any]]) -> AuditEntry:
    """The entry that a row and those of its notes hold."""
    return AuditEntry(
        generation=row.generation,
        incarnation=row.incarnation,
        topic=row.topic,
        partition=row.partition,
        first_offset=row.first_offset,
        last_offset=row.last_offset,
        gaps=tuple((first, last) for first, last in row.gaps),
        counts={fate: row._mapping[fate.value] for fate in Fate},
        columns=row._mapping["columns"],
        notes=tuple(
            Note(
                note.topic,
                note.partition,
                note.record_offset,
                note.record_timestamp,
                Fate(note.fate),
                Reason(note.reason),
                note.place,
            )
            for note in notes
        ),
        root=row.root,
        previous=row.previous,
        policy_version=row.policy_version,
        policy_digest=row.policy_digest,
        policy_seal=row.policy_seal,
        shape_version=row.shape_version,
        key_epoch=row.key_epoch,
        masked_at=(row.masked_at - _EPOCH) // _MILLISECOND,
        worker=row.worker,
        program=row.program,
        accepted=None if row.accepted is None else msgspec.convert(row.accepted, Acceptance),
    )


def _of_chain(*chain: Any) -> Iterable[ColumnElement[bool]]:
    return [column == value for column, value in zip(_IDENTITY, chain, strict=False)]


def _last_of_each() -> Select[Any]:
    """Steps from chain to chain in the primary key, so that it costs as much as there are chains, however long they are."""
    chain = _IDENTITY[:-1]
    first = select(*chain).order_by(*chain).limit(1).subquery()
    chains = select(first).cte("chains", recursive=True)
    following = select(*chain).where(tuple_(*chain) > tuple_(*chains.c)).order_by(*chain).limit(1).lateral()
    chains = chains.union_all(select(following).select_from(chains.join(following, true())))
    entries = audit_entry.select().where(*_of_chain(*chains.c))
    last = entries.order_by(audit_entry.c.first_offset.desc()).limit(1).lateral()
    return select(last).select_from(chains.join(last, true()))
