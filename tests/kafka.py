"""Kafka as its clients see it, for tests and benchmarks: what an administrator does, and what a reader finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

T = TypeVar("T")


@asynccontextmanager
async def administrator(brokers: str) -> AsyncIterator[Any]:
    """A connection that makes, changes and deletes topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def administer(brokers: str, action: Callable[[Any], Awaitable[T]]) -> T:
    """Has an administrator do this, and gives what came of it."""

    async def run() -> T:
        async with administrator(brokers) as admin:
            return await action(admin)

    return asyncio.run(run())


def end_offsets(brokers: str, topic: str) -> dict[int, int]:
    """By partition, the end of its log, open transactions included."""

    async def run() -> dict[int, int]:
        async with AIOKafkaConsumer(bootstrap_servers=brokers, isolation_level="read_uncommitted") as consumer:
            partitions = await partitions_of(consumer, topic)
            return {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}

    return asyncio.run(run())


def records(brokers: str, topic: str, isolation: str = "read_committed") -> list[Any]:
    """Every record that such a reader finds now."""
    return asyncio.run(_records(brokers, topic, isolation))


async def partitions_of(consumer: Any, topic: str) -> list[TopicPartition]:
    """Waits for a topic that is just being made."""
    await consumer._client._wait_on_metadata(topic)  # it is asked for in no public way
    return [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]


async def _records(brokers: str, topic: str, isolation: str) -> list[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        isolation_level=isolation,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 << 20,
    )
    async with consumer:
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += batch
        return found
