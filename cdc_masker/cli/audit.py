"""`cdc-masker audit`: what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdc_masker.events import AuditEntry, Fate
from cdc_masker.ports import Receipt
from cdc_masker.settings import Settings, load

__all__ = ["app"]

app = typer.Typer(help="Look at the audit.", no_args_is_help=True)

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


@app.callback()
def audit() -> None:
    """Look at the audit."""


@app.command()
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
    _print(_COLUMNS, [_row(entry) for entry in entries])


@app.command()
def receipts(
    kind: Annotated[str | None, typer.Option(help="Only of this kind: erase, reveal, destroy or weaken.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many receipts.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all members.")] = False,
) -> None:
    """Print the newest receipts: who erased a subject, revealed a value, destroyed a key or weakened the policy, newest first.

    A subject is shown as the catalog knows it: by a keyed hash.
    """
    found = asyncio.run(_receipts(load(), limit, kind))
    if as_json:
        for receipt in found:
            print(msgspec.json.encode({**msgspec.to_builtins(receipt), "subject": _hex(receipt.subject)}).decode())
        return
    _print(
        ("number", "at", "login", "kind", "about", "subject", "reason"),
        [
            (
                str(receipt.id),
                receipt.at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds"),
                receipt.login,
                receipt.kind,
                receipt.about,
                (_hex(receipt.subject) or "")[:16],
                receipt.reason,
            )
            for receipt in found
        ],
    )


async def _receipts(settings: Settings, limit: int, kind: str | None) -> list[Receipt]:
    from cdc_masker.catalog import open_catalog  # as below

    async with open_catalog(settings) as catalog:
        return await catalog.receipts.newest(limit, kind)


def _hex(subject: bytes | None) -> str | None:
    return None if subject is None else subject.hex()


def _print(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal, elsewhere lines with tabs between."""
    console = Console()
    if console.is_terminal:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for row in (columns, *rows):
        print("\t".join(row))


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
