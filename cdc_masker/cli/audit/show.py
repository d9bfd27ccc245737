"""`cdc-masker audit show`: the newest entries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from cdc_masker.cli.audit.printing import print_rows
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.settings import Settings, load

__all__ = ["show"]

_COLUMNS = (
    "masked at",
    "topic",
    "generation",
    "partition",
    "offsets",
    *(fate.value for fate in Fate),
    "policy",
    "seal",
    "epoch",
    "worker",
)


def show(
    topic: Annotated[str | None, typer.Option(help="Only this source topic.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many entries.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all members.")] = False,
) -> None:
    """Print the newest audit entries, one per batch, newest first."""
    entries = asyncio.run(_newest(load(), limit, topic))
    if as_json:
        for entry in entries:
            print(msgspec.json.encode(entry).decode())
        return
    print_rows(_COLUMNS, [_row(entry) for entry in entries])


async def _newest(settings: Settings, limit: int, topic: str | None) -> list[AuditEntry]:
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    async with open_catalog(settings) as catalog:
        return await catalog.audit.newest(limit, topic)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    return (
        datetime.fromtimestamp(entry.masked_at / 1000, UTC).isoformat(sep=" ", timespec="milliseconds"),
        entry.topic,
        str(entry.generation),
        str(entry.partition),
        f"{entry.first_offset}-{entry.last_offset}",
        *(str(entry.counts.get(fate, 0)) for fate in Fate),
        str(entry.policy_version),
        entry.policy_seal.removeprefix("sha256:")[:12],
        str(entry.key_epoch),
        entry.worker,
    )
