"""What lies in Kafka: whole topics, as a `read_committed` consumer sees them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cdc_masker.events import Record
from cdc_masker.pipeline import HEADER

__all__ = ["origin", "read", "send", "topics"]

Coordinates = tuple[str, int, int]


async def topics(brokers: str, pattern: str) -> list[str]:
    """The topics whose whole names match."""
    async with _administrator(brokers) as administrator:
        return sorted(topic for topic in await administrator.list_topics() if re.fullmatch(pattern, topic))


async def read(brokers: str, names: list[str]) -> list[Record]:
    """All records of these topics that are readable now, by topic, partition and offset."""
    found = []
    async with _administrator(brokers) as administrator:
        described = await administrator.describe_topics(names) if names else []
    partitions = [TopicPartition(one["topic"], each["partition"]) for one in described for each in one["partitions"]]
    async with AIOKafkaConsumer(
        bootstrap_servers=brokers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [
                    Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
                    for one in batch
                ]
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


@asynccontextmanager
async def _administrator(brokers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    administrator = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await administrator.start()
    try:
        yield administrator
    finally:
        await administrator.close()


async def send(brokers: str, topic: str, value: bytes) -> None:
    """Writes one record past Debezium: what a broken producer would do."""
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        await producer.send_and_wait(topic, value)


def origin(masked: Record, prefix: str) -> Coordinates:
    """The raw record that a masked one was made from, out of its header."""
    header = dict(masked.headers)[HEADER] or b""
    fields = dict(pair.split("=") for pair in header.decode().split(";"))
    return (masked.topic.removeprefix(prefix), int(fields["p"]), int(fields["o"]))
