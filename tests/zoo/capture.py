"""One capture of the zoo: connectors in every handling mode watch the same tables, and what each wrote is read from Kafka.

All connectors run at the same time, each with a slot, a publication and a topic prefix of its own. What is written without an
embedded schema is the payload of what is written with one (`test_capture.py` holds that on the real thing), so each mode is
captured with schemas, and one of them without.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import structs

from cdc_masker.connect import Connector
from cdc_masker.events import Record
from cdc_masker.settings import load
from cdc_masker.stack import Database, Stack
from tests.zoo.tables import LIVE, SIGNALS, SNAPSHOT, TABLES

__all__ = ["MODES", "PLAIN", "Capture", "take", "undescribed"]

# Each value of each handling mode at least once.
MODES: dict[str, dict[str, str]] = {
    mode: {
        "time.precision.mode": mode,
        "decimal.handling.mode": decimal,
        "interval.handling.mode": interval,
        "hstore.handling.mode": hstore,
        "binary.handling.mode": binary,
    }
    for mode, decimal, interval, hstore, binary in (
        ("adaptive", "precise", "numeric", "json", "bytes"),
        ("adaptive_time_microseconds", "string", "string", "map", "base64"),
        ("isostring", "double", "numeric", "json", "base64-url-safe"),
        ("connect", "precise", "string", "map", "hex"),
        ("microseconds", "string", "numeric", "json", "bytes"),
        ("nanoseconds", "double", "string", "map", "base64"),
        ("structured", "precise", "numeric", "json", "hex"),
    )
}
PLAIN = "plain"
"""The capture without embedded schemas, in the modes of `adaptive`."""

_OPTIONS = {
    "include.unknown.datatypes": "true",
    "column.propagate.source.type": ".*",
    "skipped.operations": "none",
    "topic.creation.default.partitions": "1",
    "signal.data.collection": SIGNALS,
    "notification.enabled.channels": "sink",
    "heartbeat.interval.ms": "1000",
}
_SECONDS = 120.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Capture:
    """Everything that one connector wrote, by topic without its prefix, in order."""

    mode: str
    described: bool
    server: str
    topics: Mapping[str, tuple[Record, ...]] = field(repr=False)

    def records(self) -> Iterator[Record]:
        for records in self.topics.values():
            yield from records

    def values(self, topic: str) -> list[Any]:
        """The change events of one topic, without their schemas and tombstones."""
        parsed = [json.loads(record.value) for record in self.topics[topic] if record.value is not None]
        return [value["payload"] if self.described else value for value in parsed]


def take(stack: Stack, database: Database, name: str) -> dict[str, Capture]:
    """Builds the zoo in an empty database, does everything to it while connectors watch, and gives what each mode wrote."""
    stack.sql(";\n".join((*TABLES, *SNAPSHOT)), database.name)
    connectors = {mode: _connector(stack, database, f"{name}_{mode}", mode) for mode in (*MODES, PLAIN)}
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda connector: connector.apply(_SECONDS), connectors.values()))
        captured = asyncio.run(_watch(stack, database, {mode: f"{name}_{mode}" for mode in connectors}))
    finally:
        for mode, connector in connectors.items():
            if connector.status() is not None:
                _remove(stack, f"{name}_{mode}")
        _drop_slots(stack, database)
    return {mode: Capture(mode, mode != PLAIN, f"{name}_{mode}", topics) for mode, topics in captured.items()}


def undescribed(capture: Capture) -> Capture:
    """The same without embedded schemas, byte by byte as Kafka Connect writes it then."""
    topics = {
        topic: tuple(structs.replace(one, key=_payload(one.key), value=_payload(one.value)) for one in records)
        for topic, records in capture.topics.items()
    }
    return replace(capture, described=False, topics=topics)


class _Described(msgspec.Struct):
    payload: msgspec.Raw


def _payload(text: bytes | None) -> bytes | None:
    return None if text is None else bytes(msgspec.json.decode(text, type=_Described).payload)


def _connector(stack: Stack, database: Database, name: str, mode: str) -> Connector:
    variables = stack.environment(database.name) | {
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_CONNECTOR_FORMAT": "json" if mode == PLAIN else "json-schema",
        "CDC_MASKER_SOURCE_SERVER": name,
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_SOURCE_TABLES": r"zoo\..*",
    }
    settings = load(**{variable.removeprefix("CDC_MASKER_").lower(): value for variable, value in variables.items()})
    modes = MODES.get(mode, MODES["adaptive"])
    return Connector(settings, {**_OPTIONS, **modes, "notification.sink.topic.name": f"{name}.notifications"})


def _remove(stack: Stack, name: str) -> None:
    request = urllib.request.Request(f"{stack.connect_url}/connectors/{name}", method="DELETE")
    with urllib.request.urlopen(request, timeout=30):
        pass


def _drop_slots(stack: Stack, database: Database) -> None:
    """Drops the slots when their connectors have left them: PostgreSQL has only so many."""
    ours = f"from pg_replication_slots where database = '{database.name}'"
    deadline = time.monotonic() + _SECONDS
    while stack.sql(f"select 1 {ours} and active limit 1"):
        assert time.monotonic() < deadline, "a connector that was removed does not leave its slot"
        time.sleep(_POLL_SECONDS)
    stack.sql(f"select pg_drop_replication_slot(slot_name) {ours}")


async def _watch(stack: Stack, database: Database, servers: Mapping[str, str]) -> dict[str, dict[str, tuple[Record, ...]]]:
    """Waits for the snapshots, makes the live changes, and reads what each connector wrote up to the last of them."""
    async with AIOKafkaConsumer(bootstrap_servers=stack.kafka_brokers, max_partition_fetch_bytes=8 << 20) as consumer:
        for server in servers.values():
            await _told(consumer, server, b"Initial Snapshot")
        for statement in LIVE:  # each in a transaction of its own
            await asyncio.to_thread(stack.sql, statement, database.name)
        for server in servers.values():
            await _told(consumer, server, b"Incremental Snapshot")
        await asyncio.to_thread(stack.sql, "insert into zoo.last values (1)", database.name)
        for server in servers.values():
            await _there(consumer, f"{server}.zoo.last", lambda one: True)
        return {mode: await _everything(consumer, server) for mode, server in servers.items()}


async def _told(consumer: AIOKafkaConsumer, server: str, what: bytes) -> None:
    """Waits until a connector notifies that it has completed something."""
    await _there(
        consumer, f"{server}.notifications", lambda one: b'"COMPLETED"' in (one.value or b"") and what in (one.value or b"")
    )


async def _there(consumer: AIOKafkaConsumer, topic: str, wanted: Callable[[Record], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while topic not in await consumer.topics() or not any(map(wanted, await _read(consumer, topic))):
        assert time.monotonic() < deadline, f"what was expected did not appear in {topic}; Kafka Connect's log may say why"
        await asyncio.sleep(_POLL_SECONDS)


async def _everything(consumer: AIOKafkaConsumer, server: str) -> dict[str, tuple[Record, ...]]:
    heartbeats = f"__debezium-heartbeat.{server}"
    topics = sorted(topic for topic in await consumer.topics() if topic.startswith(f"{server}.") or topic == heartbeats)
    return {topic.replace(f"{server}.", "", 1): await _read(consumer, topic) for topic in topics}


async def _read(consumer: AIOKafkaConsumer, topic: str) -> tuple[Record, ...]:
    """Every record that is in a topic of one partition now."""
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    end = (await consumer.end_offsets([partition]))[partition]
    found: list[Record] = []
    while await consumer.position(partition) < end:
        fetched = (await consumer.getmany(timeout_ms=200)).get(partition, ())
        found += (Record(topic, 0, one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in fetched)
    return tuple(found)
