"""Audit entries as append-only rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry, audit_quarantine
from cdc_masker.errors import Reason, SetupError
from cdc_masker.events import AuditEntry, Fate, QuarantineNote
from cdc_masker.settings import PREFIX

__all__ = ["PostgresAudit"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_IDENTITY = tuple(audit_entry.c[name] for name in ("generation", "incarnation", "topic", "partition", "first_offset"))
_NOTE_OF = tuple(audit_quarantine.c[column.name] for column in _IDENTITY)


class PostgresAudit:
    """The port `AuditStore` on PostgreSQL, and what reads the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """Raises `SetupError` when this login may not append entries, before there is anything to append."""
        schema = self._database.schema
        tables = [f'"{schema}".{table.name}' for table in (audit_entry, audit_quarantine)]
        async with self._database.transaction() as connection:
            rights = await connection.execute(select(*(func.has_table_privilege(table, "INSERT") for table in tables)))
        if not all(rights.one()):
            raise SetupError(
                f"the login in {PREFIX}DATABASE_URL may not append to the audit; grant it the role {schema}_worker"
            )

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        """Stores entries with their quarantine notes, all or none; one that is there is left as it is. Gives the number
        of new ones.
        """
        if not entries:
            return 0
        notes = [_note_row(entry, note) for entry in entries for note in entry.quarantined]
        async with self._database.transaction() as connection:
            stored = await connection.execute(
                insert(audit_entry).on_conflict_do_nothing().returning(audit_entry.c.first_offset),
                [_entry_row(entry) for entry in entries],
            )
            new = len(stored.all())
            if notes:
                await connection.execute(insert(audit_quarantine).on_conflict_do_nothing(), notes)
        return new

    async def last_offset(self, generation: int, incarnation: str, topic: str, partition: int) -> int | None:
        """The last source offset that an entry covers, None without any entry."""
        identity = (generation, incarnation, topic, partition)
        newest = (
            select(audit_entry.c.last_offset)
            .where(*(column == value for column, value in zip(_IDENTITY, identity, strict=False)))
            .order_by(audit_entry.c.first_offset.desc())
            .limit(1)
        )
        async with self._database.transaction() as connection:
            return (await connection.execute(newest)).scalar_one_or_none()

    async def newest(self, limit: int, topic: str | None = None) -> list[AuditEntry]:
        """The newest entries by time of masking, newest first."""
        wanted = audit_entry.select().order_by(audit_entry.c.masked_at.desc(), *_IDENTITY).limit(limit)
        if topic is not None:
            wanted = wanted.where(audit_entry.c.topic == topic)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
            identities = [_identity(row) for row in rows if row.quarantined]
            notes = audit_quarantine.select().where(tuple_(*_NOTE_OF).in_(identities))
            noted = (await connection.execute(notes.order_by(audit_quarantine.c.record_offset))).all()
        return [_entry(row, [note for note in noted if _identity(note) == _identity(row)]) for row in rows]


def _entry_row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "generation": entry.generation,
        "incarnation": entry.incarnation,
        "topic": entry.topic,
        "partition": entry.partition,
        "first_offset": entry.first_offset,
        "last_offset": entry.last_offset,
        **{fate.value: entry.counts.get(fate, 0) for fate in Fate},
        "policy_version": entry.policy_version,
        "policy_digest": entry.policy_digest,
        "policy_seal": entry.policy_seal,
        "shape_version": entry.shape_version,
        "key_epoch": entry.key_epoch,
        "masked_at": _EPOCH + entry.masked_at * _MILLISECOND,
        "worker": entry.worker,
        "program": entry.program,
    }


def _note_row(entry: AuditEntry, note: QuarantineNote) -> dict[str, Any]:
    return {
        "generation": entry.generation,
        "incarnation": entry.incarnation,
        "topic": entry.topic,
        "partition": entry.partition,
        "record_offset": note.offset,
        "first_offset": entry.first_offset,
        "record_timestamp": note.timestamp,
        "reason": note.reason.value,
        "place": note.place,
    }


def _identity(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[column.name] for column in _IDENTITY)


def _entry(row: Row[Any], notes: Iterable[Row[Any]]) -> AuditEntry:
    counts = {fate: row._mapping[fate.value] for fate in Fate}
    return AuditEntry(
        generation=row.generation,
        incarnation=row.incarnation,
        topic=row.topic,
        partition=row.partition,
        first_offset=row.first_offset,
        last_offset=row.last_offset,
        counts={fate: count for fate, count in counts.items() if count},
        policy_version=row.policy_version,
        policy_digest=row.policy_digest,
        policy_seal=row.policy_seal,
        shape_version=row.shape_version,
        key_epoch=row.key_epoch,
        masked_at=(row.masked_at - _EPOCH) // _MILLISECOND,
        worker=row.worker,
        program=row.program,
        quarantined=tuple(
            QuarantineNote(
                note.topic, note.partition, note.record_offset, note.record_timestamp, Reason(note.reason), note.place
            )
            for note in notes
        ),
    )
