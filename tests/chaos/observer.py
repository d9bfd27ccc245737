"""What is known of a deployment from outside, by connections that no fault touches: how far it is, and what is open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cdc_masker.kafka.auditing import group_of
from cdc_masker.settings import Settings
from tests.chaos.loop import Loop

__all__ = ["Observer"]


class Observer:
    """Looks at these source topics with their masked copies, each of so many partitions. Raises `KafkaError`."""

    def __init__(self, loop: Loop, brokers: str, settings: Settings, topics: dict[str, str], partitions: int) -> None:
        self._loop = loop
        self._brokers = brokers
        self._group = settings.group
        self._copier = group_of(settings)
        self._audit = TopicPartition(settings.audit_topic, 0)
        self.sources = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        self.outputs = [TopicPartition(topic, number) for topic in topics.values() for number in range(partitions)]

    def committed(self) -> dict[TopicPartition, int]:
        """Where masking goes on, for each source partition that was begun."""
        return self._loop.call(self.committed_now())

    def remaining(self) -> int:
        """How many offsets, of those that a `read_committed` reader sees now, are not masked."""
        return self._loop.call(self.remaining_now())

    def finished(self) -> bool:
        """Whether each record that a `read_committed` reader sees now is masked, and its audit copied into PostgreSQL."""
        return self._loop.call(self._finished_now())

    def open_transactions(self) -> dict[TopicPartition, int]:
        """The masked partitions in which a transaction is open, with the offset at which the oldest began."""
        return self._loop.call(self._open_now())

    async def committed_now(self) -> dict[TopicPartition, int]:
        return await self._committed(self._group, self.sources)

    async def _committed(self, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._brokers)
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(group, partitions=partitions)
            return {partition: max(each.offset, 0) for partition, each in found.items()}
        finally:
            await admin.close()

    async def remaining_now(self) -> int:
        ends, committed = await asyncio.gather(self._ends(self.sources, "read_committed"), self.committed_now())
        return sum(max(end - committed.get(partition, 0), 0) for partition, end in ends.items())

    async def _finished_now(self) -> bool:
        committed = await self.committed_now()
        async with AIOKafkaConsumer(bootstrap_servers=self._brokers, isolation_level="read_committed") as reader:
            reader.assign(self.sources)
            for partition, at in committed.items():
                reader.seek(partition, at)
            ends = await reader.end_offsets(self.sources)
            # Behind the last record may be markers, and records that were aborted: nobody masks them.
            while any([await reader.position(partition) < end for partition, end in ends.items()]):
                if await reader.getmany(timeout_ms=200, max_records=1):
                    return False
        copied = await self._committed(self._copier, [self._audit])
        return copied[self._audit] >= (await self._ends([self._audit], "read_committed"))[self._audit]

    async def _open_now(self) -> dict[TopicPartition, int]:
        written, stable = await asyncio.gather(
            self._ends(self.outputs, "read_uncommitted"), self._ends(self.outputs, "read_committed")
        )
        return {partition: stable[partition] for partition, end in written.items() if stable[partition] < end}

    async def _ends(self, partitions: list[TopicPartition], isolation: str) -> dict[TopicPartition, int]:
        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self._brokers, isolation_level=isolation)
        try:
            await consumer.start()
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
            return ends
        finally:
            with suppress(KafkaError):
                await consumer.stop()
