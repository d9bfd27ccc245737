"""What an Alembic `env.py` of the catalog, or of somebody's policies, calls: `run()`.

Everything comes from the `CDC_MASKER_` settings. One run is one transaction, and runs take turns. The version table
lies in the catalog's schema, which is made here because Alembic needs it before the first revision.
"""

from __future__ import annotations

import asyncio
import logging.config
from typing import Any

from alembic import context
from alembic.runtime.migration import RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection

from cdc_masker import plugins
from cdc_masker.catalog.database import open_engine, refusals
from cdc_masker.catalog.operations import SAID
from cdc_masker.catalog.releases import CATALOG_BRANCH, DIALECT_URL, Releases
from cdc_masker.catalog.tables import in_schema, is_partition
from cdc_masker.errors import CdcMaskerError, SetupError
from cdc_masker.settings import PREFIX, Settings, load

__all__ = ["SETTINGS", "run"]

SETTINGS = "cdc_masker_settings"
"""The attribute of Alembic's configuration that holds settings, where a program starts Alembic."""

_LONGEST_SCHEMA = 63 - len("_guard_alter")  # PostgreSQL cuts longer names, silently


def run() -> None:
    """Runs what the Alembic command asked for, online or as a script (`--sql`)."""
    settings: Settings | None = context.config.attributes.get(SETTINGS)
    if settings is not None:
        _run(settings)
        return
    if context.config.file_config.has_section("loggers"):
        logging.config.fileConfig(context.config.file_config, disable_existing_loggers=False)
    try:
        _run(load())
    except CdcMaskerError as error:
        raise CommandError(str(error)) from None  # which Alembic prints without a traceback


def _run(settings: Settings) -> None:
    schema = settings.database_schema
    if len(schema) > _LONGEST_SCHEMA:
        raise SetupError(f"{PREFIX}DATABASE_SCHEMA is too long for names of roles; use {_LONGEST_SCHEMA} letters at most")
    reason = context.get_x_argument(as_dictionary=True).get("allow_weaker")
    allow_weaker = reason if isinstance(reason, str) and reason.strip() else None
    releases = Releases(context.script, schema, plugins.methods(settings), allow_weaker)
    if context.is_offline_mode():
        _migrate(schema, releases, url=DIALECT_URL, literal_binds=True)
    else:
        asyncio.run(_online(settings, releases))


async def _online(settings: Settings, releases: Releases) -> None:
    engine = open_engine(settings)
    try:
        with refusals(settings.database_schema):
            async with engine.connect() as connection:
                await connection.run_sync(lambda sync: _migrate(settings.database_schema, releases, connection=sync))
    finally:
        await engine.dispose()


def _migrate(schema: str, releases: Releases, **target: Connection | str | bool) -> None:
    options: dict[str, Any] = {**target, SAID: releases.said}
    context.configure(
        version_table_schema=schema,
        target_metadata=in_schema(schema),
        include_schemas=True,
        include_name=lambda name, kind, parents: name == schema if kind == "schema" else not is_partition(name or ""),
        on_version_apply=releases,
        **options,
    )
    migration = context.get_context()
    migration._migrations_fn = _tables_first(migration._migrations_fn)  # Alembic has no public way
    only_looks = migration.opts.get("dont_mutate", False)
    with context.begin_transaction():
        if not only_looks:
            context.execute(_bootstrap(schema))
        context.run_migrations()


def _tables_first(plan: Any) -> Any:
    """The same steps, but where they go up those of the catalog's own tables first: policies meet the newest ones."""

    def ordered(*arguments: Any) -> list[Any]:
        steps = list(plan(*arguments))
        if not all(isinstance(step, RevisionStep) and step.is_upgrade for step in steps):
            return steps
        return sorted(steps, key=lambda step: CATALOG_BRANCH not in step.revision.branch_labels)

    return ordered


def _bootstrap(schema: str) -> str:
    """Makes the schema, owned by a role that can't log in, where there is none; needs no right where there is one."""
    return f"""\
DO $$
DECLARE
  me text := current_user;
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('cdc-masker {schema}', 0));
  IF pg_catalog.to_regnamespace('"{schema}"') IS NULL THEN
    IF pg_catalog.to_regrole('{schema}_owner') IS NULL THEN
      BEGIN
        CREATE ROLE "{schema}_owner" NOLOGIN;
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database's catalog just made it
      END;
    END IF;
    IF NOT pg_catalog.pg_has_role(me, '{schema}_owner', 'MEMBER') THEN
      EXECUTE pg_catalog.format('GRANT "{schema}_owner" TO %I', me);
    END IF;
    CREATE SCHEMA "{schema}" AUTHORIZATION "{schema}_owner";
  END IF;
END $$"""
