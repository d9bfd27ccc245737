"""`cdc-masker audit receipts`: who did what needs a reason."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Annotated

import msgspec
import typer

from cdc_masker.cli.audit.printing import print_rows
from cdc_masker.ports import Receipt
from cdc_masker.settings import Settings, load

__all__ = ["receipts"]


def receipts(
    kind: Annotated[str | None, typer.Option(help="Only of this kind: erase, reveal, destroy, weaken or retire.")] = None,
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
    print_rows(
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
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    async with open_catalog(settings) as catalog:
        return await catalog.receipts.newest(limit, kind)


def _hex(subject: bytes | None) -> str | None:
    return None if subject is None else subject.hex()
