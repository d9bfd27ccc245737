"""The catalog's own migrations on a real PostgreSQL: up, down, offline, and the same tables as `catalog.tables` says."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, make_url
from sqlalchemy.schema import CreateTable

from cdc_masker.catalog import commands
from cdc_masker.catalog.database import open_engine
from cdc_masker.catalog.releases import DIALECT_URL
from cdc_masker.catalog.tables import APPEND_ONLY, in_schema, is_partition
from cdc_masker.errors import SetupError
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import execute, query

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]


def compared(settings: Settings) -> list[Any]:
    """What distinguishes the database from the tables as they are declared."""
    schema = settings.database_schema

    def compare(connection: Connection) -> list[Any]:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: name == schema if kind == "schema" else not is_partition(name or ""),
            "version_table_schema": schema,
            "compare_type": True,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), in_schema(schema)))

    async def run() -> list[Any]:
        engine = open_engine(settings)
        async with engine.connect() as connection:
            found = await connection.run_sync(compare)
        await engine.dispose()
        return found

    return asyncio.run(run())


def checks(dsn: str, schema: str) -> dict[str, str]:
    """The names and conditions of all check constraints, which Alembic does not compare."""
    found = query(
        dsn,
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        f"WHERE contype = 'c' AND connamespace = '{schema}'::regnamespace",
    )
    return {str(name): str(definition) for name, definition in found}


def test_the_migrated_schema_is_the_declared_one(
    settings: Settings, database: Database, fresh_database: Callable[[str], Database]
) -> None:
    commands.upgrade(settings)
    assert compared(settings) == []

    declared = fresh_database("declared")
    statements = [f"CREATE SCHEMA {settings.database_schema}"]
    statements += [
        str(CreateTable(table).compile(dialect=make_url(DIALECT_URL).get_dialect()()))
        for table in in_schema(settings.database_schema).sorted_tables
    ]
    execute(declared.dsn, ";".join(statements))
    migrated = checks(database.dsn, settings.database_schema)
    assert len(migrated) >= 4
    assert migrated == checks(declared.dsn, settings.database_schema)


def test_the_comparison_sees_a_difference(settings: Settings, database: Database) -> None:
    commands.upgrade(settings)
    off = (f"DROP EVENT TRIGGER cdc_masker_guard_{each}" for each in ("alter", "drop"))
    query(database.dsn, *off, f"ALTER TABLE {settings.database_schema}.generation ADD surprise int")
    assert [change[0] for change in compared(settings)] == ["remove_column"]


def test_an_unused_catalog_goes_down_and_up_again(settings: Settings, database: Database) -> None:
    commands.upgrade(settings)
    commands.downgrade(settings, "base")
    left = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'cdc_masker'"
    assert query(database.dsn, left) == [(1,)]  # Alembic's own
    commands.upgrade(settings)
    assert asyncio.run(commands.position(settings)).at_head


@pytest.mark.parametrize("table", [*APPEND_ONLY, "generation", "subject_key", "erasure", "erasure_offset"])
def test_a_catalog_that_was_used_does_not_go_down(settings: Settings, database: Database, table: str) -> None:
    commands.upgrade(settings)
    rows = {
        "policy_version": "(1, null, '', '', '', 1, '[]', '[]', '[]', '[]', '', '[]', '', null, now(), '')",
        "generation": "('t', 1, 'masked.t', 'live', 0, 1)",
        "audit_entry": "(1, 'i', 't', 0, 0, 0, 1, 0, 0, 0, '[]', '{}', '', '', 0, '', '', null, 1, now(), '', '')",
    }
    needs = {
        "policy_rule": "policy_version",
        "policy_signature": "policy_version",
        "erasure_subject": "erasure",
        "erasure_offset": "erasure",
        "replay": "policy_version",
    }
    rows["subject_key"] = "('d', 1, 'x', 'y')"
    rows["erasure"] = "(1, 'why', now(), 'me', null)"
    rows["erasure_subject"] = "('d', 'x', 1)"
    rows["erasure_offset"] = "(1, 't', 'i', 0, 1)"
    rows["receipt"] = "(default, now(), 'me', 'reveal', 'r', null, 'why', '{}')"
    rows["policy_rule"] = "(1, '*', 's', 't', 'c', '', false, null, 'null', '{}', false, false, false)"
    rows["policy_signature"] = "(1, 'k', now(), 's')"
    rows["audit_note"] = "(1, 'i', 't', 0, 0, 0, 0, 'quarantined', 'not_json', null, now())"
    rows["replay"] = "(2, 1, true, 't', 'why', now(), 'me')"
    rows["replay_partition"] = "(2, 't', 0, 'i', 0, 1)"
    rows["replay_event"] = "(default, now(), 'me', 2, 'pause', 'why')"
    rows["cutover"] = "('t', 0, 2, 1, 0, 1, 1, now(), 'me')"
    if table in ("replay_partition", "replay_event", "cutover"):
        query(database.dsn, f"INSERT INTO cdc_masker.policy_version VALUES {rows['policy_version']}")
        needs[table] = "replay"
    for each in filter(None, (needs.get(table), table)):
        query(database.dsn, f"INSERT INTO cdc_masker.{each} VALUES {rows[each]}")
    with pytest.raises(SetupError, match=r"policy_rule|is not empty"):
        commands.downgrade(settings, "base")
    assert query(database.dsn, f"SELECT count(*) FROM cdc_masker.{table}") == [(1,)]
    assert asyncio.run(commands.position(settings)).at_head


def test_alembic_works_from_the_repository_root(database: Database) -> None:
    environment = {**os.environ, "CDC_MASKER_DATABASE_URL": database.dsn, "CDC_MASKER_DATABASE_SSL": "disable"}

    def alembic(*arguments: str) -> str:
        command = [sys.executable, "-m", "alembic", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    alembic("upgrade", "head")
    assert "(head)" in alembic("current")
    alembic("check")
    alembic("downgrade", "base")
    assert "(head)" not in alembic("current")


def test_alembic_tells_what_is_wrong_without_a_traceback() -> None:
    environment = {**os.environ, "CDC_MASKER_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/none"}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "PostgreSQL does not answer" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_looking_changes_nothing(settings: Settings, database: Database) -> None:
    position = asyncio.run(commands.position(settings))
    assert (position.current, position.at_head) == ((), False)
    assert query(database.dsn, "SELECT to_regnamespace('cdc_masker')") == [(None,)]


def test_a_schema_of_another_name(database: Database, unique: Callable[[str], str]) -> None:
    settings = load(database_url=database.dsn, database_ssl="disable", database_schema=unique("user"))
    commands.upgrade(settings)
    assert compared(settings) == []
    owners = f"SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = '{settings.database_schema}'"
    assert query(database.dsn, owners) == [(f"{settings.database_schema}_owner",)]


def test_a_schema_whose_roles_would_have_too_long_names_is_refused(database: Database) -> None:
    with pytest.raises(SetupError, match="DATABASE_SCHEMA is too long"):
        commands.upgrade(load(database_url=database.dsn, database_schema="s" * 55))


def test_a_script_makes_the_same_catalog(
    settings: Settings, database: Database, fresh_database: Callable[[str], Database]
) -> None:
    commands.upgrade(settings)
    script = io.StringIO()
    commands.write_sql(settings, script)
    offline = fresh_database("offline")
    execute(offline.dsn, script.getvalue())
    described = """
        SELECT relname::text, relowner::regrole::text, relacl::text,
          (SELECT array_agg(tgname || tgenabled::text ORDER BY tgname)
           FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal)::text
        FROM pg_class WHERE relnamespace = 'cdc_masker'::regnamespace
        UNION ALL
        SELECT proname::text, proowner::regrole::text, proacl::text, prosrc || prosecdef || proconfig::text
        FROM pg_proc WHERE pronamespace = 'cdc_masker'::regnamespace
        ORDER BY 1"""
    online = query(database.dsn, described)
    assert len(online) > 10
    assert query(offline.dsn, described) == online
    assert compared(load(database_url=offline.dsn, database_ssl="disable")) == []
