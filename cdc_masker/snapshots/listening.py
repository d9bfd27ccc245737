"""Reads the topic of notifications from its end on, whether it is there already or comes with the first of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import Settings
from cdc_masker.snapshots.progress import Notification, decode

__all__ = ["Listener"]

_POLL_SECONDS = 0.5


class Listener:
    """As a context manager it connects. Raises `KafkaError`, and `TransientError` when no broker answers."""

    def __init__(self, settings: Settings, cluster: Cluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._consumer = AIOKafkaConsumer(**settings.kafka_client(), isolation_level="read_committed")

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._consumer.stop)
            await self._consumer.start()
            if await self._assigned():
                await self._consumer.seek_to_end()
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def heard(self) -> list[Notification]:
        """What has come since, after a moment at most: in order of time, and that of one snapshot in its own."""
        if not self._consumer.assignment():
            await asyncio.sleep(_POLL_SECONDS)
            if not await self._assigned():
                return []
            await self._consumer.seek_to_beginning()
        batches = await self._consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000))
        records = sorted((record for batch in batches.values() for record in batch), key=lambda record: record.timestamp)
        return [told for told in (decode(record.value) for record in records) if told is not None]

    async def _assigned(self) -> bool:
        """Takes all partitions, if there are any."""
        found = (await self._cluster.topics()).get(self._topic)
        if found is not None:
            self._consumer.assign([TopicPartition(self._topic, number) for number in range(found.partitions)])
        return found is not None
