"""`cdc-masker snapshot`: rows of chosen tables come again, by an incremental snapshot of Debezium's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from cdc_masker.cli.progress import progress
from cdc_masker.errors import SetupError
from cdc_masker.settings import load

__all__ = ["snapshot"]


def snapshot(
    tables: Annotated[list[str] | None, typer.Argument(metavar="TABLE", help="Captured tables, schema.table.")] = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stays in the signal, so name a ticket and not a person.")],
    stop: Annotated[bool, typer.Option("--stop", help="Take the tables out of the snapshot that runs; none: end it.")] = False,
    seconds: Annotated[float, typer.Option("--timeout", min=1, help="Seconds without news after which to give up.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Have Debezium read all rows of captured tables again, by an incremental snapshot, while changes go on.

    For tables whose raw records expired: each row comes once more into its raw topic, as a read (op r), and is masked like any
    other record. Whoever stops waiting, with Ctrl-C or the timeout, leaves the snapshot as it is.

    Exit code 0: all rows were read, or what was to be stopped is; 1: some tables were not read, or nothing was stopped; 2: it
    could not be asked for, or there was no news.
    """
    wanted = list(dict.fromkeys(tables or ()))
    if not reason.strip():
        raise SetupError("--reason is blank; say why the rows are needed again")
    if not wanted and not stop:
        raise SetupError("no table is named; name those to read again, schema.table")
    if wrong := [name for name in wanted if "." not in name or "," in name]:
        raise SetupError(f"{', '.join(wrong)}: write tables as schema.table, with blanks between")
    if not asyncio.run(_stop(wanted, reason, seconds, as_json) if stop else _read(wanted, reason, seconds, as_json)):
        raise typer.Exit(1)


async def _read(tables: Sequence[str], reason: str, seconds: float, as_json: bool) -> bool:
    from cdc_masker import snapshots  # not on top: the libraries for servers take long to load

    with progress() as tell:
        found = await snapshots.snapshot(load(), tables, reason, seconds, tell)
    if as_json:
        print(json.dumps({"complete": found.fine, "tables": [asdict(table) for table in found.tables.values()]}))
    else:
        print(*found.tables.values(), sep="\n")
    return found.fine


async def _stop(tables: Sequence[str], reason: str, seconds: float, as_json: bool) -> bool:
    from cdc_masker import snapshots  # as above

    with progress() as tell:
        found = await snapshots.stop(load(), tables, reason, seconds, tell)
    print(json.dumps({"stopped": found.tables}) if as_json else found)
    return bool(found.tables)
