"""The Kafka cluster as an administrator sees it: topics, their settings, committed offsets, the ends of logs.

One connection for all questions that are asked now and then. Every method raises `KafkaError`, or `TransientError` when the
cluster takes too long.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from cdc_masker.errors import TransientError
from cdc_masker.kafka import wire
from cdc_masker.kafka.together import Together, unless_error
from cdc_masker.settings import Settings
from cdc_masker.subjects import Log

__all__ = ["Cluster"]

T = TypeVar("T")

_REQUEST_SECONDS = 10.0
_LOOK_BACK = 100


class Cluster:
    """Start it before use, close it after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = None
        self._reader: Any = None
        self._unsettled: Any = None
        self._reading = asyncio.Lock()
        self._look = Together(self._all_topics)

    async def start(self) -> None:
        """Connects. Raises `TransientError` when no broker answers."""
        admin = AIOKafkaAdminClient(
            **self._settings.kafka_client(),
            client_id=f"{self._settings.app_id}-admin",
            request_timeout_ms=int(_REQUEST_SECONDS * 1000),
        )
        reader = AIOKafkaConsumer(**self._settings.kafka_client(), isolation_level="read_committed")
        unsettled = AIOKafkaConsumer(**self._settings.kafka_client(), isolation_level="read_uncommitted")
        async with AsyncExitStack() as undo:
            undo.push_async_callback(unsettled.stop)
            undo.push_async_callback(reader.stop)
            undo.push_async_callback(admin.close)
            try:
                await asyncio.wait_for(admin.start(), _REQUEST_SECONDS)
                await asyncio.wait_for(reader.start(), _REQUEST_SECONDS)
                await asyncio.wait_for(unsettled.start(), _REQUEST_SECONDS)
            except (KafkaError, TimeoutError):
                raise TransientError(
                    f"no Kafka broker answers at {self._settings.kafka_brokers}, or it refuses TLS or login; "
                    "check CDC_MASKER_KAFKA_BROKERS and the security settings beside it"
                ) from None
            undo.pop_all()
        self._admin, self._reader, self._unsettled = admin, reader, unsettled

    async def close(self) -> None:
        admin, reader, unsettled = self._admin, self._reader, self._unsettled
        self._admin = self._reader = self._unsettled = None
        if admin is not None:
            await admin.close()
            await reader.stop()
            await unsettled.stop()

    async def topics(self) -> dict[str, wire.Topic]:
        """Every topic, by name."""
        return await self._look(None)

    async def _all_topics(self, _wanted: Collection[None]) -> dict[None, dict[str, wire.Topic]]:
        return {None: await _bounded(wire.topics(self._admin._client))}  # aiokafka's admin shares it in no public way

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition], *, settled: bool = True
    ) -> dict[TopicPartition, wire.Committed]:
        """Committed offsets with their metadata; partitions without one are left out.

        `UnstableOffset` tells that a transaction which moves one is open, unless it need not be `settled`.
        """
        return await _bounded(wire.committed(self._admin._client, group, partitions, settled=settled))

    async def readers(self, partitions: Collection[TopicPartition]) -> dict[str, dict[TopicPartition, wire.Committed]]:
        """What consumer groups committed in these partitions, by group; groups that committed nothing there are left out."""
        groups = sorted(group for group, _type in await _bounded(self._admin.list_consumer_groups()))
        found = {group: await self.committed(group, partitions) for group in groups}
        return {group: committed for group, committed in found.items() if committed}

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """The first offset that the log still has, and the one after the last that a `read_committed` reader may see.

        What is behind the oldest open transaction, whoever began it, is not to be seen even if it was committed: see `end`.
        """
        return (await self.bounds_of_each([partition]))[partition]

    async def bounds_of_each(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """The `bounds` of many."""
        first = await _bounded(self._reader.beginning_offsets(partitions))
        end = await _bounded(self._reader.end_offsets(partitions))
        return {partition: (first[partition], end[partition]) for partition in partitions}

    async def offsets_at(self, time: datetime, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record of that time or later; partitions without one are left out."""
        since = dict.fromkeys(partitions, math.ceil(time.timestamp() * 1000))
        found = await _bounded(self._reader.offsets_for_times(since))
        return {partition: at.offset for partition, at in found.items() if at is not None}

    async def ends(self, topics: Iterable[str]) -> dict[Log, int]:
        """The end of each partition of these topics, open transactions included. Topics that are not there are left out."""
        found = await self.topics()
        wanted = [found[name] for name in sorted(set(topics)) if name in found]
        partitions = [TopicPartition(topic.name, number) for topic in wanted for number in range(topic.partitions)]
        if not partitions:
            return {}
        ends = await _bounded(self._unsettled.end_offsets(partitions))
        return {Log(topic, found[topic].incarnation, partition): end for (topic, partition), end in ends.items()}

    async def end(self, partition: TopicPartition) -> int:
        """The end of a log, open transactions included."""
        ends: dict[TopicPartition, int] = await _bounded(self._unsettled.end_offsets([partition]))
        return ends[partition]

    async def has_records(self, partition: TopicPartition) -> bool:
        """Whether a `read_committed` reader finds any record there: aborted ones don't count."""
        first, end = await self.bounds(partition)
        return first < end and bool(await self._read(partition, first, end, most=1))

    async def first_record(self, partition: TopicPartition, start: int, end: int) -> Any:
        """The first record that a `read_committed` reader finds from `start` to before `end`, None if there is none."""
        found = [record for record in await self._read(partition, start, end, most=1) if record.offset < end]
        return found[0] if found else None

    async def last_record(self, partition: TopicPartition) -> Any:
        """The last record that a `read_committed` reader finds there, None if there is none."""
        first, end = await self.bounds(partition)
        behind = _LOOK_BACK
        while first < end:
            start = max(first, end - behind)
            if records := await self._read(partition, start, end):
                return records[-1]
            if start == first:
                break
            behind *= 10  # aborted records and markers of transactions are no records
        return None

    async def _read(self, partition: TopicPartition, start: int, end: int, most: int | None = None) -> list[Any]:
        """The records from `start` to before `end`; as soon as there are `most`, these."""
        found: list[Any] = []
        async with self._reading:
            try:
                self._reader.assign([partition])
                self._reader.seek(partition, start)
                while await self._reader.position(partition) < end and len(found) != most:
                    found += (await _bounded(self._reader.getmany(partition, timeout_ms=500, max_records=most))).get(
                        partition, ()
                    )
                return found
            finally:
                self._reader.unsubscribe()

    async def settings_of(self, topic: str) -> dict[str, str]:
        """The settings in force for a topic."""
        return unless_error((await self._described([ConfigResource(ConfigResourceType.TOPIC, topic)]))[topic])

    async def settings_of_each(self, topics: Iterable[str], names: Iterable[str]) -> dict[str, dict[str, str] | KafkaError]:
        """Those settings in force of these names, by topic, or why they are not told."""
        wanted = dict.fromkeys(names)
        return await self._described([ConfigResource(ConfigResourceType.TOPIC, topic, wanted) for topic in topics])

    async def broker_settings(self) -> dict[str, str]:
        """The settings in force for one of the brokers."""
        cluster = await _bounded(self._admin.describe_cluster())
        broker = str(cluster["brokers"][0]["node_id"])
        return unless_error((await self._described([ConfigResource(ConfigResourceType.BROKER, broker)]))[broker])

    async def _described(self, resources: list[ConfigResource]) -> dict[str, dict[str, str] | KafkaError]:
        return {
            name: for_code(error_code)(name) if error_code else {entry[0]: entry[1] for entry in entries}
            for answer in await _bounded(self._admin.describe_configs(resources))
            for error_code, _message, _type, name, entries in answer.resources
        }

    async def create(self, topics: Mapping[str, int], settings: Mapping[str, Mapping[str, str]]) -> dict[str, KafkaError]:
        """Makes topics with so many partitions, and the settings of each; one that is there already stays as it is.

        Gives why it did not make some of them, by name.
        """
        wanted = [NewTopic(name, number, 1, topic_configs=dict(settings[name])) for name, number in topics.items()]
        for new in wanted:
            new.replication_factor = self._settings.kafka_replication_factor  # the constructor refuses -1, brokers don't
        answer = await _bounded(self._admin.create_topics(wanted))
        return {
            topic: for_code(error_code)(topic)
            for topic, error_code, *_ in answer.topic_errors
            if error_code not in (0, TopicAlreadyExistsError.errno)
        }

    async def delete(self, topics: Iterable[str]) -> dict[str, KafkaError]:
        """Deletes topics; one that is not there is as it should be. Gives why it did not delete some of them, by name."""
        answer = await _bounded(self._admin.delete_topics(list(topics)))
        return {
            topic: for_code(error_code)(topic)
            for topic, error_code in answer.topic_error_codes
            if error_code not in (0, UnknownTopicOrPartitionError.errno)
        }

    async def has_members(self, group: str) -> bool:
        """Whether somebody is in a consumer group now."""
        ((description,),) = [answer.groups for answer in await _bounded(self._admin.describe_consumer_groups([group]))]
        error_code, _group, _state, _type, _protocol, members, *_ = description
        if error_code:
            raise for_code(error_code)(group)
        return bool(members)

    async def grow(self, topic: str, partitions: int) -> None:
        """Raises the number of a topic's partitions to `partitions`."""
        try:
            await _bounded(self._admin.create_partitions({topic: NewPartitions(partitions)}))
        except TopicAuthorizationFailedError:
            raise TopicAuthorizationFailedError(topic) from None  # instead of a sentence


async def _bounded(answer: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(answer, _REQUEST_SECONDS)
    except TimeoutError:
        raise TransientError("Kafka did not answer in time; it is asked again") from None
