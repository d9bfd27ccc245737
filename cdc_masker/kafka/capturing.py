"""Reads topics from their first record to their end as of now: what `cdc-masker capture` writes as lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.events import Record
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import Settings

__all__ = ["capture"]

_POLL_MS = 500


async def capture(settings: Settings, topics: Sequence[str]) -> AsyncIterator[Record]:
    """Every record that a `read_committed` reader sees, in the order of each partition.

    Raises `SetupError` for a topic that is not there, `TransientError` when the brokers are away.
    """
    partitions = await _partitions(settings, topics)
    consumer = AIOKafkaConsumer(
        **settings.kafka_client(), isolation_level="read_committed", max_partition_fetch_bytes=settings.fetch_bytes
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        remaining = set(partitions)
        while remaining := {partition for partition in remaining if await consumer.position(partition) < ends[partition]}:
            for partition, found in (await consumer.getmany(*remaining, timeout_ms=_POLL_MS)).items():
                for one in found:
                    if one.offset < ends[partition]:
                        yield Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
    except (KafkaError, TimeoutError):
        raise TransientError("Kafka can't be read; check that its brokers run and that its user may read") from None
    finally:
        await consumer.stop()


async def _partitions(settings: Settings, topics: Sequence[str]) -> list[TopicPartition]:
    cluster = Cluster(settings)
    await cluster.start()
    try:
        known = await cluster.topics()
    finally:
        await cluster.close()
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise SetupError(f"there is no topic {', '.join(missing)}; `kafka-topics.sh --list` names those that are there")
    return [TopicPartition(topic, number) for topic in topics for number in range(known[topic].partitions)]
