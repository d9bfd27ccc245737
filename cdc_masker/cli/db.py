"""`cdc-masker db`: the catalog's tables and policy revisions, without an `alembic.ini`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker.settings import load

if TYPE_CHECKING:
    from cdc_masker.catalog.commands import Position

__all__ = ["app"]

app = typer.Typer(help="Migrate the catalog in PostgreSQL.", no_args_is_help=True)

Policies = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Directory of your policy revisions; none: the catalog's tables only.")
]


@app.command()
def upgrade(
    policies: Policies = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for an empty database, and run nothing.")] = False,
) -> None:
    """Bring the catalog's tables, and policies, to their newest revision. Each policy revision makes one policy version."""
    from cdc_masker.catalog import commands  # not on top: the database libraries take long to load

    settings = load()
    if sql:
        commands.write_sql(settings, sys.stdout, policies)
        return
    commands.upgrade(settings, policies)
    _print(_position(policies))


@app.command()
def current(policies: Policies = None) -> None:
    """Print the revisions that the catalog is at."""
    _print(_position(policies))


@app.command()
def check(policies: Policies = None) -> None:
    """Exit with 1 unless the catalog is at its newest revision."""
    position = _position(policies)
    _print(position)
    if not position.at_head:
        print(f"newest: {' '.join(position.heads)}; run `cdc-masker db upgrade`")
        raise typer.Exit(1)


@app.command()
def guard() -> None:
    """Guard the catalog: nobody alters or drops its tables, functions and triggers until a superuser drops the guard.

    `upgrade` does so where its login may; this is for a superuser, where it may not.
    """
    asyncio.run(_guard())
    print("catalog: guarded")


async def _guard() -> None:
    from cdc_masker.catalog import open_catalog  # as above

    async with open_catalog(load()) as catalog:
        await catalog.guarding.make()


def _position(policies: Path | None) -> Position:
    from cdc_masker.catalog import commands  # as above

    return asyncio.run(commands.position(load(), policies))


def _print(position: Position) -> None:
    print(f"catalog: {' '.join(position.current) or 'none'}")
