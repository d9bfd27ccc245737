"""What lies in Kafka: whole topics, as a `read_committed` consumer sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cdc_masker.events import Record
from cdc_masker.pipeline import HEADER

__all__ = ["origin", "read", "send", "topics"]

Coordinates = tuple[str, int, int]


async def topics(brokers: str, pattern: str) -> list[str]:
    """The topics whose whole names match."""
    async with AIOKafkaConsumer(bootstrap_servers=brokers) as consumer:
        return sorted(topic for topic in await consumer.topics() if re.fullmatch(pattern, topic))


async def read(brokers: str, names: Iterable[str]) -> list[Record]:
    """All records that are readable now, by topic, partition and offset."""
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=brokers, isolation_level="read_committed", enable_auto_commit=False
    ) as consumer:
        known = await consumer.topics()
        partitions = [
            TopicPartition(name, number) for name in names if name in known for number in consumer.partitions_for_topic(name)
        ]
        if not partitions:
            return []
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [
                    Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
                    for one in batch
                ]
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


async def send(brokers: str, topic: str, value: bytes) -> None:
    """Writes one record past Debezium: what a broken producer would do."""
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        await producer.send_and_wait(topic, value)


def origin(masked: Record, prefix: str) -> Coordinates:
    """The raw record that a masked one was made from, out of its header."""
    header = dict(masked.headers)[HEADER] or b""
    fields = dict(pair.split("=") for pair in header.decode().split(";"))
    return (masked.topic.removeprefix(prefix), int(fields["p"]), int(fields["o"]))
