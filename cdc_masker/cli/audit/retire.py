"""`cdc-masker audit retire`: takes past months out of the catalog, into files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker.cli.audit.verify import Keys, public_keys
from cdc_masker.errors import SetupError
from cdc_masker.heads import Kept
from cdc_masker.settings import Settings, load

__all__ = ["retire"]


def retire(
    before: Annotated[str, typer.Option(metavar="YYYY-MM", help="Take out the months before this one, in UTC.")],
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write the entries. Keep what is in it: nothing else has them.")
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A signed note, or a directory of them; the newest is kept beside the entries."),
    ] = None,
    keys: Keys = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and tell what would be taken out.")] = False,
) -> None:
    """Take audit entries of past months out of the catalog, with a receipt, into files that prove them later.

    Each month becomes a file of its entries and a manifest, which `cdc-masker audit verify --export DIR` reads, and with
    --checkpoint the note that shows later that they were in the audit. It can be run again when it was cut off.
    """
    settings, month = load(), _month(before)
    from cdc_masker.audit.checkpoints import newest  # not on top: the libraries for servers take long to load

    told = None if checkpoint is None else newest(checkpoint, public_keys(settings, keys))
    asyncio.run(_retire(settings, month, to, told, dry_run))


async def _retire(settings: Settings, before: datetime, to: Path, told: Kept | None, dry_run: bool) -> None:
    from cdc_masker.catalog import open_catalog  # as above

    months = 0
    async with open_catalog(settings) as catalog:
        async for manifest in catalog.retention.retire(before, to, checkpoint=told, dry_run=dry_run):
            chains = len({run.chain for run in manifest.runs})
            months += 1
            done = "would be taken out" if dry_run else f"taken out, to {to / manifest.file}"
            print(f"{manifest.month}: {manifest.entries} entries of {chains} chains {done}", flush=True)
    if not months:
        print(f"nothing before {before:%Y-%m} is to be taken out")


def _month(text: str) -> datetime:
    try:
        month = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise SetupError("--before takes a month as YYYY-MM") from None
    if month > datetime.now(UTC):
        raise SetupError(f"month {text} has not begun; --before takes this month or an earlier one")
    return month
