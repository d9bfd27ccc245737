"""The source database: what is published, how rows are told apart, and how far the slot lags behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cdc_masker.doctor.findings import Finding, Severity

__all__ = ["Publication", "Slot", "of_publication", "of_slot", "publication", "slot"]

_LAG_LIMIT = 1 << 30
_PUBLICATION = "SELECT pubinsert AND pubupdate AND pubdelete AS whole, puballtables FROM pg_publication WHERE pubname = $1"
# Without a replica identity: NOTHING, or the default without a primary key.
_NAMELESS = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables
JOIN pg_namespace ON nspname = schemaname JOIN pg_class ON relname = tablename AND relnamespace = pg_namespace.oid
WHERE pubname = $1 AND (relreplident = 'n' OR (
  relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)
))
ORDER BY 1
"""
_SLOT = """
SELECT active, wal_status, pg_wal_lsn_diff(
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, confirmed_flush_lsn
)::bigint AS lag
FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """`whole`: of inserts, updates and deletes. `nameless`: tables whose rows have no replica identity."""

    whole: bool
    all_tables: bool
    nameless: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """`status` as PostgreSQL names it; `lag`: bytes of the log that the connector has not confirmed."""

    active: bool
    status: str | None
    lag: int | None


async def publication(connection: Any, name: str) -> Publication | None:
    """The publication; None: there is none."""
    row = await connection.fetchrow(_PUBLICATION, name)
    if row is None:
        return None
    nameless = tuple(each[0] for each in await connection.fetch(_NAMELESS, name))
    return Publication(whole=row["whole"], all_tables=row["puballtables"], nameless=nameless)


async def slot(connection: Any, name: str) -> Slot | None:
    """The replication slot; None: there is none."""
    row = await connection.fetchrow(_SLOT, name)
    return None if row is None else Slot(active=row["active"], status=row["wal_status"], lag=row["lag"])


def of_publication(name: str, found: Publication | None) -> Iterator[Finding]:
    place = f"source: publication {name}"
    if found is None:
        yield Finding(Severity.ERROR, place, "there is none, so nothing is captured", "run `cdc-masker connector apply`")
        return
    if not found.whole:
        yield Finding(
            Severity.ERROR,
            place,
            "inserts, updates or deletes are not published, so masked topics lack them",
            f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')",
        )
    if found.all_tables:
        yield Finding(
            Severity.WARNING,
            place,
            "all tables are published, new ones included",
            "make it anew for the tables that are needed",
        )
    for table in found.nameless:
        yield Finding(
            Severity.WARNING,
            f"source: table {table}",
            "its rows have no replica identity, so PostgreSQL refuses to update and delete them while they are published",
            f"give it a primary key, or ALTER TABLE {table} REPLICA IDENTITY FULL",
        )


def of_slot(name: str, found: Slot | None) -> Iterator[Finding]:
    place = f"source: slot {name}"
    if found is None:
        yield Finding(
            Severity.ERROR,
            place,
            "there is none, so what changes now is lost",
            "run `cdc-masker connector apply`, and have the connector take a snapshot",
        )
        return
    if found.status == "lost":
        yield Finding(
            Severity.ERROR,
            place,
            "PostgreSQL has removed log that was not read yet: changes are lost",
            "drop the slot, start the connector, have it take a snapshot, and raise max_slot_wal_keep_size",
        )
    elif found.status == "unreserved":
        yield Finding(
            Severity.WARNING,
            place,
            "PostgreSQL is about to remove log that was not read yet",
            "see why the connector lags behind, and raise max_slot_wal_keep_size",
        )
    if not found.active:
        yield Finding(
            Severity.WARNING,
            place,
            "nobody reads it, so PostgreSQL keeps its log until the disk is full, or loses it",
            "start the connector",
        )
    if found.lag is not None and found.lag > _LAG_LIMIT:
        yield Finding(
            Severity.WARNING,
            place,
            f"the connector is {found.lag >> 20:,} MiB of log behind",
            "see why in Kafka Connect's log",
        )
