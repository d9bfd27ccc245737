"""`cdc-masker policy coverage`: how much of the source is decided. `cdc_masker.cli` puts it beside the other commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cdc_masker import plugins
from cdc_masker.cli.policy import read_policy
from cdc_masker.drafting.extent import Extent, extents
from cdc_masker.settings import load

__all__ = ["coverage"]

_COLUMNS = ("table", "columns", "named", "by pattern", "undecided", "kept")


def coverage(
    policy: Annotated[
        Path | None, typer.Option(help="Policy document, or directory of revisions; none: the one in force in the catalog.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count, for each table of the source, the columns that rules name, that patterns match, and that nobody decided on.

    Exit code 0: all are decided; 1: some aren't.
    """
    found = asyncio.run(_look(policy))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _print(found)
    if any(extent.undecided for extent in found):
        raise typer.Exit(1)


async def _look(document: Path | None) -> list[Extent]:
    from cdc_masker.source import open_source, read_source  # not on top: the database libraries take long to load

    settings = load()
    policy = await read_policy(settings, document)
    async with open_source(settings) as connection:
        return extents(policy, await read_source(connection, settings), plugins.methods(settings))


def _print(found: list[Extent]) -> None:
    counted = [(each.columns, each.named, each.matched, each.undecided, each.kept) for each in found]
    total = tuple(map(sum, zip(*counted, strict=True))) if counted else (0,) * 5
    rows = [(f"{each.schema}.{each.table}", numbers) for each, numbers in zip(found, counted, strict=True)]
    console = Console()
    if not console.is_terminal:
        for name, numbers in [*rows, ("all", total)]:
            print(f"{name}: " + ", ".join(f"{number:,} {word}" for number, word in zip(numbers, _COLUMNS[1:], strict=True)))
        return
    table = Table(*_COLUMNS, box=None)
    for name, numbers in [*rows, ("all", total)]:
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
