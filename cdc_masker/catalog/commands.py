"""Runs the catalog's migrations from a program: what `cdc-masker db` does, without an `alembic.ini`.

The catalog's own tables go first, then policy revisions, so that these always meet the newest tables.
"""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from cdc_masker import plugins, resources
from cdc_masker.catalog.database import open_engine, refusals
from cdc_masker.catalog.environment import SETTINGS
from cdc_masker.catalog.releases import CATALOG_BRANCH, POLICY_BRANCH, Releases
from cdc_masker.errors import SetupError
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings

__all__ = ["Position", "downgrade", "newest", "position", "said", "upgrade", "write_sql"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a catalog is: the revisions it is at, and those that it should be at."""

    current: tuple[str, ...]
    heads: tuple[str, ...]

    @property
    def at_head(self) -> bool:
        return self.current == self.heads


def upgrade(settings: Settings, policies: Path | None = None) -> None:
    """Brings the catalog's tables, and the policy revisions in directory `policies`, to their newest revision."""
    config = _config(settings, policies)
    with _plain_errors():
        command.upgrade(config, f"{CATALOG_BRANCH}@head")
        command.upgrade(config, "heads")


def downgrade(settings: Settings, target: str, policies: Path | None = None, allow_weaker: str | None = None) -> None:
    """Goes back to a revision, as `alembic downgrade` names them. Releases older policies as new versions.

    `allow_weaker` is the reason why they may mask less.
    """
    config = _config(settings, policies)
    config.cmd_opts = Namespace(x=[] if allow_weaker is None else [f"allow_weaker={allow_weaker}"])
    with _plain_errors():
        command.downgrade(config, target)


def write_sql(settings: Settings, output: TextIO, policies: Path | None = None) -> None:
    """Writes the script that does on an empty database what `upgrade` does."""
    config = _config(settings, policies, output)
    with _plain_errors():
        command.upgrade(config, f"{CATALOG_BRANCH}@head", sql=True)
        script = ScriptDirectory.from_config(config)
        if any(POLICY_BRANCH in head.branch_labels for head in script.get_revisions("heads")):
            tables = script.get_revision(f"{CATALOG_BRANCH}@head").revision
            command.upgrade(config, f"{tables}:heads", sql=True)


def said(settings: Settings, policies: Path) -> Policy:
    """What the policy revisions in a directory say, released or not. No database takes part.

    Raises `SetupError` when there are several newest ones, as workers would refuse them.
    """
    with _plain_errors():
        script = ScriptDirectory.from_config(_config(settings, policies))
        _newest(script, policies)
        return Releases(script, settings.database_schema, plugins.methods(settings)).newest()


def newest(settings: Settings, policies: Path) -> str | None:
    """The newest policy revision in a directory; None: there is none. Raises `SetupError` when there are several."""
    with _plain_errors():
        return _newest(ScriptDirectory.from_config(_config(settings, policies)), policies)


def _newest(script: ScriptDirectory, policies: Path) -> str | None:
    heads = [head.revision for head in script.get_revisions(script.get_heads()) if POLICY_BRANCH in head.branch_labels]
    if len(heads) > 1:
        raise SetupError(
            f"{policies} has several newest revisions, {', '.join(sorted(heads))}; merge them with `alembic merge`"
        )
    return heads[0] if heads else None


async def position(settings: Settings, policies: Path | None = None) -> Position:
    """Where the catalog is. Changes nothing; a database without a catalog is at no revision."""
    with _plain_errors():
        script = ScriptDirectory.from_config(_config(settings, policies))
        heads = _without_implied(script, script.get_heads())
    engine = open_engine(settings)
    try:
        with refusals(settings.database_schema):
            async with engine.connect() as connection:
                current = await connection.run_sync(_heads_in(settings.database_schema))
    finally:
        await engine.dispose()
    with _plain_errors():
        script.get_revisions(current)  # refuses one that is not in the directories
    return Position(current=tuple(sorted(current)), heads=heads)


def _heads_in(schema: str) -> Callable[[Connection], tuple[str, ...]]:
    return lambda connection: MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_heads()


def _without_implied(script: ScriptDirectory, heads: list[str]) -> tuple[str, ...]:
    """The heads as the version table holds them: one that another revision depends on is implied by that one."""
    implied = {
        script.get_revision(dependency).revision
        for revision in script.walk_revisions()
        for dependency in _names(revision.dependencies)
    }
    return tuple(sorted(set(heads) - implied))


def _names(dependencies: Any) -> tuple[str, ...]:
    return (dependencies,) if isinstance(dependencies, str) else tuple(dependencies or ())


def _config(settings: Settings, policies: Path | None, output: TextIO | None = None) -> Config:
    if policies is not None and not policies.is_dir():
        raise SetupError(f"{policies} is not a directory of policy revisions; correct --policies")
    migrations = resources.path("migrations")
    config = Config(output_buffer=output, stdout=io.StringIO(), attributes={SETTINGS: settings})
    directories = [migrations / "versions", *([policies.resolve()] if policies else [])]
    options = {
        "script_location": str(migrations),
        "path_separator": "newline",
        "version_locations": "\n".join(map(str, directories)),
    }
    for name, value in options.items():
        config.set_main_option(name, value.replace("%", "%%"))
    return config


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        hint = "; name the directory of your policy revisions with --policies" if "Can't locate" in str(error) else ""
        raise SetupError(f"migrations: {error}{hint}") from None
