"""The audit's partitions: made ahead, append-only each, and nobody is refused for want of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.catalog.partitions import Partitioning
from cdc_masker.errors import TransientError
from cdc_masker.events import Fate
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.entries import entry, note
from tests.migrations.kit import OFF, ON, query, stop_clock

pytestmark = pytest.mark.stack

NOW = datetime(2027, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)

ONE_QUARANTINED = {**dict.fromkeys(Fate, 0), Fate.QUARANTINED: 1}
MAKE = "SELECT cdc_masker.make_audit_partitions()"
PARTITIONS = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent IN ('cdc_masker.audit_entry'::regclass, 'cdc_masker.audit_note'::regclass) ORDER BY 1
"""


@pytest.fixture
def catalog(settings: Settings, database: Database) -> Database:
    stop_clock(database.dsn, NOW)
    commands.upgrade(settings)
    return database


def months(count: int = 4) -> list[datetime]:
    """The beginnings of this month and of those after it."""
    return [
        datetime(NOW.year + (NOW.month - 1 + ahead) // 12, (NOW.month - 1 + ahead) % 12 + 1, 1, tzinfo=UTC)
        for ahead in range(count)
    ]


def names(*tables: str) -> list[tuple[str]]:
    suffixes = [*(f"{month:%Y_%m}" for month in months()), "default"]
    return sorted((f"cdc_masker.{table}_{suffix}",) for table in tables or ("audit_entry", "audit_note") for suffix in suffixes)


def drop(database: Database, *partitions: str) -> None:
    query(database.dsn, OFF, *(f"DROP TABLE cdc_masker.{partition}" for partition in partitions), ON, "SELECT 1")


def partitioning(settings: Settings) -> Partitioning:
    async def read() -> Partitioning:
        async with open_catalog(settings) as opened:
            return await opened.partitions.partitioning()

    return asyncio.run(read())


def append(settings: Settings, *times: datetime) -> None:
    """Stores an entry with a note that was masked at each of the times; offsets are those of the times."""

    async def run() -> None:
        async with open_catalog(settings) as opened:
            offsets = [(int(time.timestamp()), int(time.timestamp() * 1000)) for time in times]
            entries = [
                entry(offset, offset, masked_at=at, notes=(note(offset),), counts=ONE_QUARANTINED) for offset, at in offsets
            ]
            assert await opened.audit.append(entries) == len(times)
            assert await opened.audit.append(entries) == 0
            assert await opened.audit.last(1, "topic-id", entries[-1].topic, 3) == max(
                entries, key=lambda one: one.first_offset
            )

    asyncio.run(run())


def test_partitions_are_made_ahead_and_nobody_may_touch_them(catalog: Database) -> None:
    assert query(catalog.dsn, PARTITIONS) == names()
    rights = "SELECT DISTINCT relowner::regrole::text, relacl::text FROM pg_class WHERE relispartition AND relkind = 'r'"
    assert query(catalog.dsn, rights) == [("cdc_masker_owner", None)]
    bounds = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = to_regclass($$cdc_masker.audit_entry_{}$$)"
    first, second = months(2)
    expected = f"FOR VALUES FROM ('{first:%Y-%m-%d} 00:00:00+00') TO ('{second:%Y-%m-%d} 00:00:00+00')"
    assert query(catalog.dsn, "SET timezone = 'UTC'", bounds.format(f"{first:%Y_%m}")) == [(expected,)]


def test_a_server_in_another_time_zone_makes_the_same_months(catalog: Database, settings: Settings) -> None:
    drop(catalog, f"audit_entry_{months()[1]:%Y_%m}")
    query(catalog.dsn, "SET timezone = 'Pacific/Kiritimati'", MAKE)
    assert query(catalog.dsn, PARTITIONS) == names()
    append(settings, months()[1])
    assert query(catalog.dsn, f"SELECT count(*) FROM cdc_masker.audit_entry_{months()[1]:%Y_%m}") == [(1,)]


def test_each_partition_is_append_only_for_everybody(
    catalog: Database, settings: Settings, login: Callable[[str], str]
) -> None:
    append(settings, *months(), *months(5)[4:], datetime(1999, 12, 31, tzinfo=UTC))
    worker = login("worker")
    for (partition,), column in zip(names(), (["worker"] * 5 + ["reason"] * 5), strict=True):
        assert query(catalog.dsn, f"SELECT count(*) > 0 FROM {partition}") == [(True,)]
        statements = (f"UPDATE {partition} SET {column} = 'x'", f"DELETE FROM {partition}", f"TRUNCATE {partition}")
        for statement in (*statements, f"SELECT * FROM {partition}", f"INSERT INTO {partition} SELECT * FROM {partition}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                query(worker, statement)
        for become in ("SET ROLE cdc_masker_owner", "SELECT 1", "SET session_replication_role = replica"):
            for statement in statements:
                with pytest.raises(asyncpg.RaiseError, match="append-only"):
                    query(catalog.dsn, become, statement)


def test_workers_make_them_at_once_and_again(catalog: Database, login: Callable[[str], str], settings: Settings) -> None:
    missing = [f"audit_entry_{months()[1]:%Y_%m}", *(f"audit_note_{month:%Y_%m}" for month in months())]
    drop(catalog, *missing)
    assert partitioning(settings).missing == tuple(missing)
    workers = [load(database_url=login("worker"), database_ssl="disable") for _ in range(4)]

    async def make(worker: Settings) -> None:
        async with open_catalog(worker) as opened:
            await opened.audit.make_room()
            await opened.audit.make_room()

    async def all_at_once() -> None:
        await asyncio.gather(*map(make, workers))

    asyncio.run(all_at_once())
    assert query(catalog.dsn, PARTITIONS) == names()
    assert partitioning(settings) == Partitioning((), (), ())
    assert query(catalog.dsn, "SELECT count(*) FROM cdc_masker_guard.letting") == [(0,)]


def test_a_reader_that_takes_long_is_not_waited_for(catalog: Database, settings: Settings) -> None:
    drop(catalog, f"audit_note_{months()[3]:%Y_%m}")

    async def run() -> None:
        reader = await asyncpg.connect(catalog.dsn, ssl=False)
        async with open_catalog(settings) as opened, reader.transaction():
            await reader.fetch("SELECT count(*) FROM cdc_masker.audit_entry")
            with pytest.raises(TransientError, match="55P03"):
                await opened.audit.make_room()
        await reader.close()

    asyncio.run(run())
    query(catalog.dsn, MAKE)
    assert query(catalog.dsn, PARTITIONS) == names()


def test_rows_without_a_partition_stay_where_they_are_and_are_told_of(catalog: Database, settings: Settings) -> None:
    this, following, *_, last = months(5)
    drop(catalog, f"audit_entry_{this:%Y_%m}", f"audit_entry_{following:%Y_%m}")
    append(settings, this, last, datetime(1999, 12, 31, tzinfo=UTC))
    query(catalog.dsn, MAKE)
    assert partitioning(settings) == Partitioning((f"audit_entry_{this:%Y_%m}",), (f"{this:%Y-%m}", f"{last:%Y-%m}"), ())
    assert query(catalog.dsn, "SELECT count(*) FROM cdc_masker.audit_entry_default") == [(3,)]


def test_without_a_guard_the_owner_makes_them(catalog: Database, login: Callable[[str], str]) -> None:
    guard = ("alter", "drop")
    query(
        catalog.dsn, *(f"DROP EVENT TRIGGER cdc_masker_guard_{each}" for each in guard), "DROP SCHEMA cdc_masker_guard CASCADE"
    )
    query(catalog.dsn, f"DROP TABLE cdc_masker.audit_note_{months()[2]:%Y_%m}", "SELECT 1")
    query(login("worker"), MAKE)
    assert query(catalog.dsn, PARTITIONS) == names()


def test_logins_that_may_append_and_retire_are_told_of(
    catalog: Database, settings: Settings, login: Callable[[str], str]
) -> None:
    login("retention")
    assert partitioning(settings).retiring_workers == ()
    name = login("worker").partition("//")[2].partition(":")[0]
    query(catalog.dsn, f"GRANT cdc_masker_retention TO {name}", "SELECT 1")
    assert partitioning(settings).retiring_workers == (name,)
    query(catalog.dsn, f"REVOKE cdc_masker_retention FROM {name}", "SELECT 1")
