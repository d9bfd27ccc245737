"""`cdc-masker audit export`: all entries that fit, for other programs."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterable, Sequence
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from cdc_masker.cli.audit import filters
from cdc_masker.cli.files import writing
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import encode_entry
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.catalog.entries import Wanted

__all__ = ["export"]

_PLAIN = ("generation", "topic", "incarnation", "partition", "first_offset", "last_offset")
_MORE = ("policy_version", "policy_digest", "policy_seal", "shape_version", "key_epoch", "masked_at", "worker", "program")
_CHAINED = ("root", "previous")
_JSON = ("gaps", "columns", "notes", "accepted")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


def export(
    topic: filters.Topic = None,
    generation: filters.Generation = None,
    table: filters.Table = None,
    column: filters.Column = None,
    outcome: filters.Outcome = None,
    policy_version: filters.PolicyVersion = None,
    since: filters.Since = None,
    until: filters.Until = None,
    form: Annotated[Format, typer.Option("--format", help="JSON Lines with all members, as hashed; or CSV.")] = Format.JSONL,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where entries go; - is standard output.")] = Path("-"),
) -> None:
    """Write all audit entries that fit, oldest first, however many there are."""
    wanted = filters.wanted(topic, generation, table, column, outcome, policy_version, since, until)
    with writing(output) as results:
        asyncio.run(_export(load(), wanted, form, results))


async def _export(settings: Settings, wanted: Wanted, form: Format, results: BinaryIO) -> None:
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    if form is Format.CSV:
        results.write(_csv([(*_PLAIN, *Fate, *_MORE, *_CHAINED, *_JSON)]))
    async with open_catalog(settings) as catalog:
        async for page in catalog.entries.pages(wanted):
            if form is Format.CSV:
                results.write(_csv(map(_row, page)))
            else:
                results.writelines(encode_entry(entry) + b"\n" for entry in page)


def _row(entry: AuditEntry) -> Sequence[object]:
    return (
        *(getattr(entry, name) for name in _PLAIN),
        *(entry.counts.get(fate, 0) for fate in Fate),
        *(getattr(entry, name) for name in (*_MORE, *_CHAINED)),
        *(msgspec.json.encode(getattr(entry, name), order="sorted").decode() for name in _JSON),
    )


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
