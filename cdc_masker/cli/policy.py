"""`cdc-masker policy`: what is decided."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load

__all__ = ["app"]

app = typer.Typer(help="Look at policies.", no_args_is_help=True)


@app.callback()
def policy() -> None:
    """Look at policies."""


@app.command()
def export(
    version: Annotated[int | None, typer.Option(min=1, help="An older version; none: the one in force.")] = None,
) -> None:
    """Print a policy version as JSON, its digest verified."""
    found = asyncio.run(_read(load(), version))
    print(json.dumps(found.export(), indent=2, ensure_ascii=False))


async def _read(settings: Settings, version: int | None) -> Policy:
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    async with open_catalog(settings) as catalog:
        return await (catalog.policies.current() if version is None else catalog.policies.at(version))
