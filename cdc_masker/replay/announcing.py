"""The topic that tells consumers where the masked copy of a partition ends, and where another one goes on.

What always holds: it keeps all records; each cut-over stands there once, however often it is told, and those that are told
together become visible together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from cdc_masker.errors import SetupError
from cdc_masker.kafka import settling
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import partition_reader
from cdc_masker.kafka.topics import Topics
from cdc_masker.settings import Settings

__all__ = ["Announcement", "announce"]

_SECONDS = 30.0


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads `old_topic` has read all of that partition at `old_position`, and goes on in `new_topic` at `new_position`.

    `topic` is the raw one; `last_source_offset` the last of its records that `old_topic`, its generation `closes`, stands for.
    """

    topic: str
    partition: int
    generation: int
    closes: int
    last_source_offset: int
    old_topic: str
    old_position: int
    new_topic: str
    new_position: int


async def announce(settings: Settings, cluster: Cluster, announcements: Sequence[Announcement]) -> None:
    """Tells what is not told yet. Raises `SetupError`, `TransientError` and `KafkaError`."""
    topic = settings.generations_topic
    if any(topic in (each.old_topic, each.new_topic) for each in announcements):
        raise SetupError(f"topic {topic} is a masked copy; cdc-masker tells there where copies end, so mask it elsewhere")
    await Topics(cluster, settings).ensure_kept(topic)
    name = f"{settings.app_id}-generations"
    producer = AIOKafkaProducer(**settings.kafka_client(), client_id=name, transactional_id=name)
    await asyncio.wait_for(producer.start(), _SECONDS)  # that ends what anybody else is telling
    try:
        told = await _told(settings, cluster, TopicPartition(topic, 0))
        missing = [value for each in announcements if (value := msgspec.json.encode(each)) not in told]
        if missing:
            async with asyncio.timeout(_SECONDS), producer.transaction():
                for value in missing:
                    await producer.send(topic, value, partition=0)
    finally:
        await producer.stop()


async def _told(settings: Settings, cluster: Cluster, log: TopicPartition) -> set[bytes]:
    first, end = await settling.settled(cluster, log, deadline=asyncio.get_running_loop().time() + _SECONDS)
    if first == end:
        return set()
    async with partition_reader(settings) as reader:
        return {record.value or b"" async for records in reader.read(log, first, end) for record in records}
