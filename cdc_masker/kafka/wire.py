"""Two requests of the Kafka protocol that aiokafka doesn't have: topics with their ids, and committed offsets that are stable.

aiokafka's own metadata has no topic id, and its offset fetch drops the metadata and doesn't wait for a transaction that is
being settled. Both are asked here in the oldest version that answers what is needed, which Kafka has had since 2.8.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

__all__ = ["Committed", "Topic", "UnstableOffset", "committed", "topics"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster knows it. `incarnation` is its id: a topic that is deleted and made again gets another."""

    name: str
    incarnation: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's committed position in a partition: the next offset to read, and what was stored with it."""

    offset: int
    metadata: str


class _Uuid:
    """The protocol's 16-byte id. Duck-typed, because the base class of types is private to aiokafka."""

    def encode(self, value: uuid.UUID) -> bytes:
        return value.bytes

    def decode(self, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


_STRING = CompactString("utf-8")


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka is untyped to us
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _STRING), ("port", Int32), ("rack", _STRING), ("tags", TaggedFields)),
        ),
        ("cluster_id", _STRING),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _STRING),
                ("topic_id", _Uuid()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid()), ("name", _STRING), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def build(self, struct: type[_MetadataStruct]) -> _MetadataStruct:
        return struct(None, False, False, False, {})


class _OffsetFetchResponse(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _STRING),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _STRING),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetchStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchResponse
    SCHEMA = Schema(
        ("group", _STRING),
        ("topics", CompactArray(("name", _STRING), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _OffsetFetch(Request[_OffsetFetchStruct]):  # type: ignore[misc]
    API_KEY = 9

    def __init__(self, group: str, partitions: Mapping[str, Sequence[int]], settled: bool) -> None:
        self._group = group
        self._settled = settled
        self._topics: list[Any] = [(topic, numbers, {}) for topic, numbers in partitions.items()]

    def build(self, struct: type[_OffsetFetchStruct]) -> _OffsetFetchStruct:
        return struct(self._group, self._topics, self._settled, {})


async def topics(client: AIOKafkaClient) -> dict[str, Topic]:
    """Every topic that the client may see, by name. Raises `KafkaError`."""
    response = await client.send(client.get_random_node(), _Metadata())
    found = {}
    for error_code, name, topic_id, _internal, partitions, *_ in response.topics:
        if error_code == 0:  # else it is just being made or deleted: the next look tells
            found[name] = Topic(name, str(topic_id), len(partitions))
    return found


async def committed(
    client: AIOKafkaClient, group: str, partitions: Iterable[TopicPartition], *, settled: bool = True
) -> dict[TopicPartition, Committed]:
    """The group's committed offsets; a partition without one is not in the answer.

    Raises `KafkaError`, among others (retriable) when a transaction that holds a newer offset is not settled yet. Unless they
    need to be `settled`, the offset from before it is told then.
    """
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        by_topic[topic].append(partition)
    node = await client.coordinator_lookup(CoordinationType.GROUP, group)
    response = await client.send(node, _OffsetFetch(group, by_topic, settled))
    _check(response.error_code)
    found = {}
    for topic, answers, _tags in response.topics:
        for partition, offset, _epoch, metadata, error_code, _ in answers:
            _check(error_code)
            if offset >= 0:
                found[TopicPartition(topic, partition)] = Committed(offset, metadata or "")
    return found


_UNSTABLE_OFFSET_COMMIT = 88  # not among aiokafka's errors


class UnstableOffset(KafkaError):  # type: ignore[misc]
    """A transaction that moves this offset is being settled: ask again."""

    retriable = True


def _check(code: int) -> None:
    error: Any = UnstableOffset if code == _UNSTABLE_OFFSET_COMMIT else for_code(code)
    if code:
        raise error
