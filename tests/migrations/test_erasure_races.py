"""Asking for a key and completing an erasure wait for each other, so that no answer falls between an erasure and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import asyncpg
import pytest

from cdc_masker.catalog import commands
from cdc_masker.settings import Settings
from cdc_masker.stack import Database

pytestmark = pytest.mark.stack

SUBJECT = {"domain": "people", "name": "aa"}
ASKED = json.dumps([{**SUBJECT, "place": 0, "epoch": 1, "candidate": "ff", "renew": False}])
ASK = "SELECT erasing, erased::text FROM cdc_masker.subject_keys($1, 't', 'i', 0, $2)"
ENDS = json.dumps([{"topic": "t", "incarnation": "i", "partition": 0, "next_offset": 10}])
COMPLETE = "SELECT cdc_masker.complete_erasure('{1}', $1)"


@pytest.fixture
async def two(settings: Settings, database: Database) -> AsyncIterator[tuple[Any, Any]]:
    """Two connections to a catalog in which an erasure has begun."""
    await asyncio.to_thread(commands.upgrade, settings)
    one, other = [await asyncpg.connect(database.dsn, ssl=False) for _ in range(2)]
    await one.fetch(ASK, ASKED, 1)
    await one.execute("SELECT cdc_masker.begin_erasure($1, 'why')", json.dumps([SUBJECT]))
    yield one, other
    await one.close()
    await other.close()


async def waiting(one: Any, query: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Starts a query of the other connection, and returns when it waits for a lock that this one holds."""
    task = asyncio.ensure_future(query)
    async with asyncio.timeout(20):
        while not await one.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            assert not task.done(), "it did not wait"
    return task


async def test_an_erasure_completes_after_those_who_were_told_that_it_goes_on(two: tuple[Any, Any]) -> None:
    asks, completes = two
    async with asks.transaction():
        assert [tuple(row) for row in await asks.fetch(ASK, ASKED, 25)] == [(True, None)]
        completing = await waiting(asks, completes.fetchval(COMPLETE, ENDS))
    assert await completing
    assert [tuple(row) for row in await asks.fetch(ASK, ASKED, 26)] == [(False, '[["t", "i", 0, 25]]')]


async def test_who_asks_while_an_erasure_completes_is_told_of_its_end(two: tuple[Any, Any]) -> None:
    completes, asks = two
    async with completes.transaction():
        assert await completes.fetchval(COMPLETE, ENDS)
        asking = await waiting(completes, asks.fetch(ASK, ASKED, 25))
    assert [tuple(row) for row in await asking] == [(False, '[["t", "i", 0, 10]]')]
