"""Where raw records and sinks come from: Kafka and PostgreSQL as the settings say, or files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Table

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry, audit_note
from cdc_masker.codecs.capture import CaptureError, decode_line
from cdc_masker.errors import SetupError
from cdc_masker.events import Record
from cdc_masker.kafka.capturing import capture
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.leaks.scan import Raw
from cdc_masker.leaks.sinks import Item, Sink, file_item, files, line_item, record_item, row_item
from cdc_masker.settings import PREFIX, Settings

__all__ = ["audit_rows", "capture_file", "masked_file", "path", "published", "raw_topics"]


async def raw_topics(settings: Settings, topics: Sequence[str]) -> Raw:
    """These topics, or those that the settings' pattern names. Raises `SetupError` when there are none."""
    if not topics:
        if not settings.source_topics:
            raise SetupError(f"name the raw topics, or set {PREFIX}SOURCE_TOPICS, or give a capture with --raw")
        topics = sorted(name for name in await _names(settings) if settings.is_source(name))
        if not topics:
            raise SetupError(f"no topic matches {PREFIX}SOURCE_TOPICS={settings.source_topics!r}; correct the pattern")
    if own := [name for name in topics if settings.own_topics(name)]:
        raise SetupError(f"topic {own[0]} is written by cdc-masker, so it holds no raw records; name raw topics")
    return lambda: capture(settings, topics)


def capture_file(source: Path) -> Raw:
    """The records of a capture file. Raises `SetupError` when it can't be read, now or when it is."""

    async def records() -> AsyncIterator[Record]:
        for number, line in _lines(source):
            try:
                yield decode_line(line)
            except CaptureError as error:
                raise SetupError(f"{source} line {number}: {error}") from None

    _readable_twice(source)
    return records


async def published(settings: Settings) -> list[Sink]:
    """Masked topics, quarantine topic and audit topic. Raises `SetupError` when one of these isn't there."""
    names = await _names(settings)
    masked = sorted(name for name in names if name.startswith(settings.output_prefix))
    if not masked:
        raise SetupError(f"no topic starts with {settings.output_prefix}; check {PREFIX}OUTPUT_PREFIX, and that a worker ran")
    for name in (settings.quarantine_topic, settings.audit_topic):
        if name not in names:
            raise SetupError(f"there is no topic {name}; check {PREFIX}QUARANTINE_TOPIC and {PREFIX}AUDIT_TOPIC")
    return [_topic(settings, name) for name in (*masked, settings.quarantine_topic, settings.audit_topic)]


def audit_rows(settings: Settings) -> list[Sink]:
    """The audit's tables in the catalog."""

    def rows_of(table: Table) -> Sink:
        async def rows() -> AsyncIterator[Item]:
            database = Database(settings)
            try:
                async with database.transaction() as connection:
                    number = 0
                    async for row in await connection.stream(table.select().order_by(*table.primary_key)):
                        number += 1
                        where = f"{table.name} row {number} (partition {row.partition}, first offset {row.first_offset})"
                        yield row_item(where, row._asdict())
            finally:
                await database.close()

        return Sink(f"table {settings.database_schema}.{table.name}", "rows", rows)

    return [rows_of(audit_entry), rows_of(audit_note)]


def masked_file(source: Path) -> Sink:
    """What `cdc-masker mask` wrote."""

    async def lines() -> AsyncIterator[Item]:
        for number, line in _lines(source):
            yield line_item(f"{source} line {number}", line)

    _readable_twice(source)
    return Sink(f"masked capture {source}", "lines", lines)


def path(where: Path) -> Sink:
    """A file, or every file below a directory, byte by byte."""

    async def content() -> AsyncIterator[Item]:
        for each in files(where):
            yield file_item(each)

    return Sink(str(where), "files", content)


def _topic(settings: Settings, name: str) -> Sink:
    async def records() -> AsyncIterator[Item]:
        async for record in capture(settings, [name]):
            where = f"topic {name} partition {record.partition} offset {record.offset}"
            yield record_item(where, record, audit=name == settings.audit_topic)

    return Sink(f"topic {name}", "records", records)


async def _names(settings: Settings) -> list[str]:
    cluster = Cluster(settings)
    await cluster.start()
    try:
        return list(await cluster.topics())
    finally:
        await cluster.close()


def _readable_twice(source: Path) -> None:
    if not source.is_file():
        raise SetupError(f"{source} is no regular file; it is read more than once, so a pipe won't do")


def _lines(source: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with source.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise SetupError(f"{source} can't be read ({error.strerror})") from None
