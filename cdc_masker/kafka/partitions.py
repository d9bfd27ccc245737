"""Reads one partition after the other, as a `read_committed` reader sees it, in what Kafka gives at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import TransientError
from cdc_masker.events import Record
from cdc_masker.settings import Settings

__all__ = ["PartitionReader", "partition_reader"]

_POLL_MS = 500


class PartitionReader:
    """A connection that reads one partition at a time."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def read(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[list[Record]]:
        """The records from offset `first` to before `end`. Raises `TransientError` when the brokers are away."""
        try:
            self._consumer.assign([partition])
            self._consumer.seek(partition, first)
            while await self._consumer.position(partition) < end:
                found = (await self._consumer.getmany(partition, timeout_ms=_POLL_MS)).get(partition, ())
                yield [
                    Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
                    for one in found
                    if one.offset < end
                ]
        except (KafkaError, TimeoutError):
            raise _away() from None


@asynccontextmanager
async def partition_reader(settings: Settings) -> AsyncIterator[PartitionReader]:
    """Raises `TransientError` when the brokers are away."""
    consumer = AIOKafkaConsumer(
        **settings.kafka_client(),
        isolation_level="read_committed",
        auto_offset_reset="none",  # records that expire meanwhile are an error, not a reason to go on elsewhere
        max_partition_fetch_bytes=settings.fetch_bytes,
    )
    try:
        try:
            await consumer.start()
        except (KafkaError, TimeoutError):
            raise _away() from None
        yield PartitionReader(consumer)
    finally:
        await consumer.stop()


def _away() -> TransientError:
    return TransientError("Kafka can't be read; check that its brokers run and that its user may read")
