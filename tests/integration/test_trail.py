"""The audit's rows as whoever verifies them reads them, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest

from cdc_masker.catalog import Catalog, commands, open_catalog
from cdc_masker.events import Acceptance, AuditEntry, Fate
from cdc_masker.heads import Chain
from cdc_masker.ports import Unreadable
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Stack
from tests.entries import TOPIC, chained, entry, note

pytestmark = pytest.mark.stack

T = TypeVar("T")
COUNT = 1003  # some pages
CHAIN = Chain(1, TOPIC, 3, "topic-id")
CLOSED = CHAIN._replace(partition=4)
NOTED = {**dict.fromkeys(Fate, 0), Fate.MASKED: 9, Fate.QUARANTINED: 1}
NOTHING = dict.fromkeys(Fate, 0)
ENTRIES = chained(
    *(
        entry(first, counts=NOTED, notes=(note(first + 4),)) if first % 70 == 0 else entry(first)
        for first in range(0, COUNT * 10, 10)
    )
)
CLOSING = chained(
    entry(0, partition=4),
    entry(
        10, 2**63 - 1, partition=4, counts=NOTHING, columns={}, root="", accepted=Acceptance("somebody", "a test", "topic-2")
    ),
)


@pytest.fixture(scope="module")
def settings(postgres: Stack, unique: Callable[[str], str]) -> Settings:
    """A catalog with two chains."""
    settings = load(database_url=postgres.create_database(unique("trail")).dsn, database_ssl="disable")
    commands.upgrade(settings)

    async def fill(catalog: Catalog) -> None:
        for start in range(0, COUNT, 500):
            await catalog.audit.append(ENTRIES[start : start + 500])
        await catalog.audit.append(CLOSING)

    ask(settings, fill)
    return settings


def ask(settings: Settings, question: Callable[[Catalog], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_catalog(settings) as catalog:
            return await question(catalog)

    return asyncio.run(run())


def rows(settings: Settings, chain: Chain, through: int = 2**62, start: int = 0) -> list[AuditEntry | Unreadable]:
    async def read(catalog: Catalog) -> list[AuditEntry | Unreadable]:
        return [each async for page in catalog.trail.rows(chain, through, start) for each in page]

    return ask(settings, read)


def test_rows_come_in_order_and_whole(settings: Settings) -> None:
    assert rows(settings, CHAIN) == ENTRIES
    assert rows(settings, CHAIN, 5000, 100) == ENTRIES[10:501]
    assert rows(settings, CHAIN, 4990) == ENTRIES[:500]
    assert rows(settings, CLOSED) == CLOSING
    assert rows(settings, CHAIN._replace(generation=2)) == []


def test_chains_are_known_with_what_closed_them(settings: Settings) -> None:
    found = ask(settings, lambda catalog: catalog.trail.chains())
    assert found == {CHAIN: ((COUNT - 1) * 10, None), CLOSED: (10, "topic-2")}


def test_entries_are_found_by_what_they_cover(settings: Settings) -> None:
    found = ask(settings, lambda catalog: catalog.trail.covering(TOPIC, 1, 3, 4711))
    assert found == [(CHAIN, 4710)]
    assert ask(settings, lambda catalog: catalog.trail.covering(TOPIC, 1, 3, COUNT * 10)) == []
    assert ask(settings, lambda catalog: catalog.trail.published_before(CHAIN, 100)) == 100 - 2
    assert ask(settings, lambda catalog: catalog.trail.published_before(CHAIN, 0)) == 0


CHANGES = {
    "half a millisecond": "UPDATE audit_entry SET masked_at = masked_at + interval '500 microseconds' WHERE {}",
    "gaps that are none": "UPDATE audit_entry SET gaps = '7' WHERE {}",
    "gaps of texts": """UPDATE audit_entry SET gaps = '[["a", "b"]]' WHERE {}""",
    "columns that are none": "UPDATE audit_entry SET columns = '[]' WHERE {}",
    "more than an acceptance": """UPDATE audit_entry SET accepted = '{{"by": "x", "reason": "y", "more": 1}}' WHERE {}""",
    "a reason that is none": "UPDATE audit_note SET reason = 'x' WHERE {}",
    "a note's time": "UPDATE audit_note SET masked_at = masked_at + interval '1 second' WHERE {}",
    "a note of another batch": "UPDATE audit_note SET first_offset = 71 WHERE {}",
    "a note of another chain": "UPDATE audit_note SET incarnation = 'x' WHERE {}",
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_no_worker_stores_is_no_entry(settings: Settings, name: str) -> None:
    """Done as a superuser who undid what keeps rows from being changed, and taken back."""

    async def changed() -> list[AuditEntry | Unreadable]:
        assert settings.database_url is not None
        connection = await asyncpg.connect(settings.database_url.get_secret_value())
        try:
            await connection.execute("SET search_path = cdc_masker; ALTER EVENT TRIGGER cdc_masker_guard_alter DISABLE")
            for table in ("audit_entry", "audit_note"):
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            await connection.execute("CREATE TEMP TABLE kept_entry AS SELECT * FROM audit_entry WHERE partition = 3")
            await connection.execute("CREATE TEMP TABLE kept_note AS SELECT * FROM audit_note WHERE partition = 3")
            assert await connection.execute(CHANGES[name].format("partition = 3 AND first_offset = 70")) == "UPDATE 1"
            async with open_catalog(settings) as catalog:
                chains = await catalog.trail.chains()
                return [
                    each
                    for chain in chains
                    if chain.partition == 3
                    async for page in catalog.trail.rows(chain, 200)
                    for each in page
                ]
        finally:
            for table in ("entry", "note"):
                await connection.execute(f"DELETE FROM audit_{table} WHERE partition = 3")
                await connection.execute(f"INSERT INTO audit_{table} SELECT * FROM kept_{table}")
            await connection.close()

    found = asyncio.run(changed())
    wrong = [each for each in found if isinstance(each, Unreadable)]
    said = [each for each in found if not isinstance(each, Unreadable) and each.first_offset == 70 and each.notes]
    assert wrong, found
    assert all(each.offset in (70, 71) for each in wrong)
    assert not said
    assert rows(settings, CHAIN) == ENTRIES
