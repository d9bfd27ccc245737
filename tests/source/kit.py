"""What the tests of the source share: a database of its own, what is in it, and the commands run on it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from cdc_masker.drafting.tables import ColumnName, Source, SourceTable, TableName
from cdc_masker.settings import Settings, load
from cdc_masker.source import open_source, read_source, sample
from cdc_masker.stack import Database

PROGRAM = Path(sys.executable).parent / "cdc-masker"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def execute(database: Database, *statements: str) -> None:
    """Runs statements, each by itself, as the superuser."""

    async def run() -> None:
        connection = await asyncpg.connect(database.dsn, ssl=False)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def settings(database: Database, **more: Any) -> Settings:
    return load(source_url=f"{database.dsn}?sslmode=disable", **more)


def on_source(of: Settings, ask: Callable[[Any], Awaitable[_Answer]]) -> _Answer:
    async def run() -> _Answer:
        async with open_source(of) as connection:
            return await ask(connection)

    return asyncio.run(run())


def read(database: Database) -> Source:
    of = settings(database)
    return on_source(of, lambda connection: read_source(connection, of))


def table(source: Source, schema: str, name: str) -> SourceTable:
    found = source.table(TableName(schema, name))
    assert found is not None
    return found


def sampled(of: Settings, columns: Sequence[ColumnName], rows: int) -> dict[ColumnName, tuple[str, ...]]:
    return on_source(of, lambda connection: sample(connection, columns, rows))


def run(database: Database, *arguments: str, catalog: Database | None = None) -> Result:
    """The installed program, on that source and catalog."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CDC_MASKER_")}
    environment["CDC_MASKER_SOURCE_URL"] = f"{database.dsn}?sslmode=disable"
    if catalog is not None:
        environment |= {"CDC_MASKER_DATABASE_URL": catalog.dsn, "CDC_MASKER_DATABASE_SSL": "disable"}
    done = subprocess.run([PROGRAM, *arguments], env=environment, check=False, capture_output=True, text=True)
    return Result(done.returncode, done.stdout, done.stderr)
