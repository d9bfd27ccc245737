"""News of the catalog on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cdc_masker.catalog.commands import upgrade
from cdc_masker.catalog.notices import Notices
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database, Stack

pytestmark = pytest.mark.stack

REVISION = """
revision = "p1"
down_revision = None
branch_labels = ("policy",)
depends_on = None

from alembic import op


def upgrade():
    op.keep_column("crm.customers", "id", reason="an identity without meaning")
"""


@pytest.fixture
def database(postgres: Stack, unique: Callable[[str], str]) -> Database:
    return postgres.create_database(unique("notices"))


@pytest.fixture
def settings(database: Database) -> Settings:
    settings = load(database_url=database.dsn, database_schema="masking")
    upgrade(settings)
    return settings


class Heard:
    """Counts news."""

    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._more.set()

    async def more(self) -> None:
        """Returns at the next news since the last call."""
        await asyncio.wait_for(self._more.wait(), 20)
        self._more.clear()


@asynccontextmanager
async def hearing(settings: Settings, alive_seconds: float = 60) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.create_task(Notices(settings, heard, alive_seconds=alive_seconds).run())
    try:
        await heard.more()  # it listens now, and may have missed some
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_release_is_heard(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "p1.py").write_text(REVISION)
    async with hearing(settings) as heard:
        assert heard.count == 1
        await asyncio.to_thread(upgrade, settings, tmp_path)
        await heard.more()


async def test_signatures_and_erasures_are_heard_and_nothing_else(
    settings: Settings, postgres: Stack, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "p1.py").write_text(REVISION)
    await asyncio.to_thread(upgrade, settings, tmp_path)
    began = "insert into masking.generation values ('t' || random(), 1, random(), 'live', 1, 1)"

    def change(statement: str) -> None:
        postgres.sql(statement, database=database.name)

    async with hearing(settings) as heard:
        for number, statement in enumerate(
            (
                "select masking.sign_policy(1, (select seal from masking.policy_version), 'k', now(), 's')",
                """select masking.begin_erasure('[{"domain": "d", "name": "00"}]', 'asked for')""",
            ),
            start=2,
        ):
            await asyncio.to_thread(change, began)
            await asyncio.to_thread(change, statement)
            await heard.more()
            assert heard.count == number


async def test_a_broken_connection_is_made_again(settings: Settings, postgres: Stack, database: Database) -> None:
    cut = f"""select pg_terminate_backend(pid) from pg_stat_activity
              where datname = '{database.name}' and query like 'LISTEN%'"""
    async with hearing(settings) as heard:
        await asyncio.to_thread(postgres.sql, cut, database=database.name)
        await heard.more()  # what was told meanwhile is lost, so this counts as news
        assert heard.count == 2


async def test_a_connection_that_is_asked_whether_it_is_there_goes_on_listening(
    settings: Settings, postgres: Stack, database: Database
) -> None:
    asked = f"select count(*) from pg_stat_activity where datname = '{database.name}' and query = 'SELECT 1'"
    async with hearing(settings, alive_seconds=0.05) as heard:
        async with asyncio.timeout(20):
            while await asyncio.to_thread(postgres.sql, asked, database=database.name) != "1":
                pass
        await asyncio.to_thread(postgres.sql, "notify masking", database=database.name)
        await heard.more()
        assert heard.count == 2
