"""Reads one raw record again, by its coordinates."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.events import Record
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import Settings

__all__ = ["reread"]

_POLL_MS = 500


async def reread(settings: Settings, topic: str, incarnation: str, partition: int, offset: int) -> tuple[Record, int]:
    """The record, and the most bytes of a record that a masked copy of its topic would take if it were made now.

    Raises `SetupError` when the record is gone, and `TransientError` when the brokers are away.
    """
    where = TopicPartition(topic, partition)
    cluster = Cluster(settings)
    await cluster.start()
    try:
        found = (await cluster.topics()).get(topic)
        if found is None or found.incarnation != incarnation:
            raise SetupError(f"topic {topic} was deleted since, or made anew: the record is gone")
        first, end = await cluster.bounds(where)
        if offset < first:
            raise SetupError(f"{topic}[{partition}] begins with offset {first} by now: the record at {offset} expired")
        largest = int((await cluster.settings_of(topic))["max.message.bytes"])
        record = await _read(settings, where, offset, end)
    except KafkaError:
        raise TransientError("Kafka can't be read; check that its brokers run and that its user may read") from None
    finally:
        await cluster.close()
    if record is None:
        raise SetupError(f"{topic}[{partition}] has no record at offset {offset} any more: it was compacted away")
    return record, largest


async def _read(settings: Settings, where: TopicPartition, offset: int, end: int) -> Record | None:
    consumer = AIOKafkaConsumer(
        **settings.kafka_client(), isolation_level="read_committed", max_partition_fetch_bytes=settings.fetch_bytes
    )
    await consumer.start()
    try:
        consumer.assign([where])
        consumer.seek(where, offset)
        while await consumer.position(where) < end:
            for one in (await consumer.getmany(where, timeout_ms=_POLL_MS, max_records=1)).get(where, ()):
                if one.offset != offset:
                    return None
                return Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
        return None
    finally:
        await consumer.stop()
