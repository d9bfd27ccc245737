"""What the tests of the catalog share: writing policy revisions, and looking into the database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import asyncpg

OFF, ON = (
    f"ALTER EVENT TRIGGER cdc_masker_guard_alter {done}; ALTER EVENT TRIGGER cdc_masker_guard_drop {done}"
    for done in ("DISABLE", "ENABLE ALWAYS")
)
"""Takes the guard away, and brings it back."""


@dataclass(frozen=True)
class Revisions:
    """Writes policy revisions, as somebody would by hand."""

    directory: Path

    def write(
        self,
        revision: str,
        after: str | tuple[str, ...] | None,
        upgrade: str,
        downgrade: str = "pass",
        label: str = "policy",
        weaker: str | None = "these tests are about something else",
    ) -> None:
        """`weaker` is the reason for masking less than before, None if none is given."""
        if weaker is not None and label == "policy":
            upgrade = f"op.allow_weaker({weaker!r})\n{dedent(upgrade)}"
        head = f'''\
            """Revision {revision}"""
            import sqlalchemy as sa
            from alembic import op

            revision = {revision!r}
            down_revision = {after!r}
            branch_labels = {(label if after is None else None)!r}
            depends_on = {("catalog" if after is None else None)!r}
            '''
        bodies = (
            f"\n\ndef {name}():\n{indent(dedent(body).strip(), '    ')}\n"
            for name, body in (("upgrade", upgrade), ("downgrade", downgrade))
        )
        (self.directory / f"{revision}.py").write_text(dedent(head) + "".join(bodies))


def query(dsn: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs statements, each in a transaction of its own, on one connection. Gives the rows of the last."""

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(dsn, ssl=False)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return [tuple(row) for row in await connection.fetch(statements[-1])]
        finally:
            await connection.close()

    return asyncio.run(run())


def execute(dsn: str, script: str) -> None:
    """Runs a script of many statements at once, as psql does."""

    async def run() -> None:
        connection = await asyncpg.connect(dsn, ssl=False)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    asyncio.run(run())


def stop_clock(dsn: str, at: datetime) -> None:
    """From now on `now()` is always this in the database, so that no month ends while a test goes on."""
    body = f"$$ SELECT timestamptz '{at.isoformat()}' $$"
    query(dsn, f"CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS timestamptz LANGUAGE sql STABLE AS {body}", "SELECT 1")
