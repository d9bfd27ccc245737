"""The logins of docker-compose.yml: with the rights that docker/databases.sh gives, the whole way can be set up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cdc_masker.stack import Database, Stack
from cdc_masker.stack.programs import postgres_programs

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
CLI = Path(sys.executable).with_name("cdc-masker")
WORKER_PASSWORD = "worker's own"


def test_nobody_needs_to_be_a_superuser_once_it_is_set_up(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        stack.up()
        stack.sql("drop role debezium")  # the local stack's own is a superuser
        _make_databases(stack)
        catalog = stack.database("catalog")
        _run("db", "upgrade", "--policies", str(ROOT / "demo" / "policy"), CDC_MASKER_DATABASE_URL=catalog.dsn)
        _run("connector", "apply", **stack.environment("shop"))

        published = stack.sql("select tablename from pg_publication_tables order by 1", "shop")
        assert published.split() == ["customers", "orders", "sessions"]
        assert stack.sql("select rolsuper from pg_roles where rolname in ('debezium', 'masker')").split() == ["f", "f"]
        assert asyncio.run(_as_worker(catalog, "select count(*) from cdc_masker.policy_version")) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asyncio.run(_as_worker(catalog, "delete from cdc_masker.policy_version"))


def _make_databases(stack: Stack) -> None:
    """Runs the script as PostgreSQL's image would, but over TCP."""
    admin = stack.database()
    environment = {
        "PATH": f"{postgres_programs().psql.parent}:{os.environ['PATH']}",
        "PGHOST": admin.host,
        "PGPORT": str(admin.port),
        "PGPASSWORD": admin.password,
        "MASKER_PASSWORD": WORKER_PASSWORD,
        "SOURCE_PASSWORD": admin.password,  # which the stack's Connect has in its environment
        "SHOP_SQL": str(ROOT / "examples" / "shop.sql"),
    }
    subprocess.run([ROOT / "docker" / "databases.sh"], env=environment, check=True)


def _run(*arguments: str, **settings: str) -> None:
    done = subprocess.run([CLI, *arguments], env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


async def _as_worker(database: Database, statement: str) -> Any:
    connection = await asyncpg.connect(
        host=database.host, port=database.port, user="masker", password=WORKER_PASSWORD, database=database.name
    )
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
