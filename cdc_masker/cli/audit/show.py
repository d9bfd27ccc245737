"""`cdc-masker audit show`: the newest entries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cdc_masker.cli.audit import filters
from cdc_masker.cli.audit.printing import print_rows
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.catalog.entries import Wanted

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
    topic: filters.Topic = None,
    generation: filters.Generation = None,
    table: filters.Table = None,
    column: filters.Column = None,
    outcome: filters.Outcome = None,
    policy_version: filters.PolicyVersion = None,
    since: filters.Since = None,
    until: filters.Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many entries.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all members.")] = False,
) -> None:
    """Print the newest audit entries, one per batch, newest first. `audit export` gives all of them."""
    wanted = filters.wanted(topic, generation, table, column, outcome, policy_version, since, until)
    entries = asyncio.run(_newest(load(), limit, wanted))
    if as_json:
        for entry in entries:
            print(msgspec.json.encode(entry).decode())
        return
    print_rows(_COLUMNS, [_row(entry) for entry in entries])


async def _newest(settings: Settings, limit: int, wanted: Wanted) -> list[AuditEntry]:
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    found: list[AuditEntry] = []
    async with open_catalog(settings) as catalog:
        async for page in catalog.entries.pages(wanted, newest_first=True, at_once=min(limit, 500)):
            found += page
            if len(found) >= limit:
                break
    return found[:limit]


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
        entry.worker if entry.accepted is None else f"accepted as lost by {entry.accepted.by}",
    )
