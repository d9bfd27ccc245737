"""Takes from the real stack what the checker looks at, partition by partition, so that hours of records fit into memory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from cdc_masker import evidence
from cdc_masker.catalog import open_catalog
from cdc_masker.events import Note, Record
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Topic
from cdc_masker.keys.providers import FileKeys
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings
from tests.chaos.checker import (
    Finding,
    Makers,
    Partition,
    check_lag,
    check_partition,
    check_places,
    check_rows,
    check_verified,
    check_written,
    find_canaries,
)
from tests.integration.kit import CANARY, Deployment

__all__ = ["Gathered", "check", "read"]

_ENTRY_ROWS = (
    "select generation, incarnation, topic, partition, first_offset, last_offset, root, previous, policy_version, "
    "(extract(epoch from masked_at) * 1000)::bigint, worker, masked, control, quarantined, dropped from {schema}.audit_entry"
)
_NOTE_ROWS = "select topic, partition, record_offset, record_timestamp, fate, reason, place from {schema}.audit_note"
_CHUNK_BYTES = 1 << 20


class Gathered:
    """What a check counted beside its findings."""

    def __init__(self) -> None:
        self.records = self.gaps = self.quarantined = self.entries = 0
        self.versions: set[int] = set()
        self.findings: list[Finding] = []


def check(
    deployment: Deployment, written: dict[TopicPartition, tuple[int, int]], committed: dict[TopicPartition, int], *, since: int
) -> Gathered:
    """All that must hold, after the workers have ended. `written` is as `check_written` takes it, `since` the time before the
    first of them started, in ms since the epoch.
    """
    brokers, settings, gathered = deployment.stack.kafka_brokers, deployment.settings(), Gathered()
    notes, entries = _notes(brokers, settings.quarantine_topic), _entries(brokers, settings.audit_topic)
    everything = [entry for each in entries.values() for entry in each]
    topics = asyncio.run(_topics(settings))
    masker_of = _maskers(deployment, int(deployment.settings_of(next(iter(written)).topic)["max.message.bytes"]))
    workers = frozenset(f"{socket.gethostname()}:{worker.process.pid}" for worker in deployment.workers)
    makers = Makers(settings.generation, workers, since, time.time_ns() // 1_000_000)
    ends, counts = {}, {}
    for source in written:
        before = gathered.records
        copy = TopicPartition(deployment.masked_topic(source.topic), source.partition)
        last = [-1]
        partition = Partition(
            source.topic,
            source.partition,
            topics[source.topic].incarnation,
            makers,
            raw=_counted(read(brokers, source), gathered, last),
            masked=read(brokers, copy),
            notes=notes.get(tuple(source), []),
            entries=entries.get(tuple(source), []),
        )
        gathered.findings += check_partition(partition, masker_of)
        gathered.findings += _canaries(f"{copy.topic}[{copy.partition}]", _bytes(read(brokers, copy)))
        ends[str(partition)], counts[str(partition)] = last[0] + 1, gathered.records - before
    for what, found in (("quarantine notes", notes), ("audit entries", entries)):
        gathered.findings += check_places(what, found, map(tuple, written))
    gathered.findings += check_written(counts, {f"{each.topic}[{each.partition}]": known for each, known in written.items()})
    gathered.findings += check_lag(ends, {f"{each.topic}[{each.partition}]": at for each, at in committed.items()})

    schema = settings.database_schema
    rows, noted = (deployment.stack.sql(text.format(schema=schema), deployment.name) for text in (_ENTRY_ROWS, _NOTE_ROWS))
    gathered.findings += check_rows(everything, rows.splitlines(), noted.splitlines())
    for topic in (settings.audit_topic, settings.quarantine_topic):
        gathered.findings += _canaries(topic, _bytes(read(brokers, TopicPartition(topic, 0))))
    tables = f"select table_name from information_schema.tables where table_schema = '{schema}'"
    for table in deployment.stack.sql(tables, deployment.name).splitlines():
        rows = deployment.stack.sql(f'select each::text from {schema}."{table}" each', deployment.name)
        gathered.findings += _canaries(f"table {table}", [rows.encode()])
    for file in [file for file in deployment.home.rglob("*") if file.is_file()]:  # the logs, too
        gathered.findings += _canaries(file.name, _chunks(file))

    gathered.findings += verified(deployment)
    decoded = list(map(evidence.decode_entry, everything))
    gathered.entries, gathered.versions = len(decoded), {entry.policy_version for entry in decoded}
    gathered.quarantined = sum(len(entry.notes) for entry in decoded)
    gathered.gaps = sum(len(entry.gaps) for entry in decoded)
    return gathered


def verified(deployment: Deployment) -> list[Finding]:
    """What the product's own verification finds; it masks a tenth anew, and `check_partition` all."""
    code, told, complaint = deployment.run("audit", "verify", "--recompute", "--sample", "0.1")
    return check_verified(code, told + complaint)


def read(brokers: str, partition: TopicPartition) -> Iterator[Record]:
    """The records of one partition as a `read_committed` reader sees them, from the first to the last there is now."""
    with asyncio.Runner() as runner:
        consumer = runner.run(_opened(brokers, partition))
        try:
            end = runner.run(consumer.end_offsets([partition]))[partition]
            while runner.run(consumer.position(partition)) < end:
                for records in runner.run(consumer.getmany(timeout_ms=200)).values():
                    for each in records:
                        yield Record(
                            each.topic, each.partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers)
                        )
        finally:
            runner.run(consumer.stop())


async def _opened(brokers: str, partition: TopicPartition) -> Any:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, isolation_level="read_committed", max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    return consumer


def _counted(records: Iterator[Record], gathered: Gathered, last: list[int]) -> Iterator[Record]:
    for record in records:
        gathered.records += 1
        last[0] = record.offset
        yield record


def _notes(brokers: str, topic: str) -> dict[tuple[Any, ...], list[Note]]:
    found: dict[tuple[Any, ...], list[Note]] = defaultdict(list)
    for record in read(brokers, TopicPartition(topic, 0)):
        note = msgspec.json.decode(record.value or b"", type=Note)
        found[note.topic, note.partition].append(note)
    return found


def _entries(brokers: str, topic: str) -> dict[tuple[Any, ...], list[bytes]]:
    found: dict[tuple[Any, ...], list[bytes]] = defaultdict(list)
    for record in read(brokers, TopicPartition(topic, 0)):
        entry = evidence.decode_entry(record.value or b"")
        found[entry.topic, entry.partition].append(record.value or b"")
    return found


def _maskers(deployment: Deployment, largest: int) -> Callable[[int], Masker]:
    """Maskers as the workers have them. All source topics began under the first version."""
    settings = deployment.settings()
    keys = FileKeys(deployment.home / "keys.json").load()
    began = asyncio.run(_policy(settings, 1))

    @cache
    def masker_of(version: int) -> Masker:
        policy = asyncio.run(_policy(settings, version))
        return Masker(policy, keys, began=began, output_prefix=settings.output_prefix, max_record_bytes=largest)

    return masker_of


async def _topics(settings: Settings) -> dict[str, Topic]:
    cluster = Cluster(settings)
    await cluster.start()
    try:
        return await cluster.topics()
    finally:
        await cluster.close()


async def _policy(settings: Settings, version: int) -> Policy:
    async with open_catalog(settings) as catalog:
        return await catalog.policies.at(version)


def _canaries(place: str, chunks: Iterable[bytes]) -> list[Finding]:
    return find_canaries(CANARY.encode(), place, chunks)


def _bytes(records: Iterable[Record]) -> Iterator[bytes]:
    for record in records:
        yield record.key or b""
        yield b" "
        yield record.value or b""
        yield b" "
        for name, content in record.headers:
            yield name.encode() + b" " + (content or b"") + b" "


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk
