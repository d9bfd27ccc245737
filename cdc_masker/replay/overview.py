"""Raw topics and their masked copies: what there is, and how far each copy came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition

from cdc_masker.catalog import Catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Topic
from cdc_masker.ports import Cutover
from cdc_masker.replay.standing import of_generation
from cdc_masker.settings import Settings

__all__ = ["Copy", "Part", "Source", "overview"]


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of a copy: the next raw offset to mask, None if none was masked; how many raw offsets are behind that; the
    bounds of the masked log; and where consumers go on once the copy is closed.
    """

    partition: int
    position: int | None
    lag: int
    first: int
    end: int
    cutover: Cutover | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A generation of a raw topic. `records`: how many offsets its log has, markers of transactions included."""

    generation: int
    topic: str
    state: str
    policy_version: int
    key_epoch: int
    records: int
    lag: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A raw topic and its copies. `records`: how many offsets its log has, None if it is gone."""

    topic: str
    records: int | None
    copies: tuple[Copy, ...]


async def overview(settings: Settings, catalog: Catalog, cluster: Cluster) -> list[Source]:
    """All that there is or was, in the order of raw topics. Raises `SetupError`, `TransientError` and `KafkaError`."""
    topics = await cluster.topics()
    cutovers = {
        (cut.topic, cut.partition, cut.closes): cut
        for replay in await catalog.replays.all()
        for cut in await catalog.replays.cutovers(replay.generation)
    }
    copies: dict[str, list[Registered]] = defaultdict(list)
    for registered in await catalog.trail.generations():
        copies[registered.topic].append(registered)
    sources = {name for name in topics if settings.source_topics and settings.is_source(name)}
    found = []
    for name in sorted(sources.union(copies)):
        bounds = await _bounds(cluster, topics.get(name))
        made = [await _copy(settings, cluster, each, bounds, topics.get(each.output_topic), cutovers) for each in copies[name]]
        found.append(Source(name, _offsets(bounds.values()) if name in topics else None, tuple(made)))
    return found


async def _copy(
    settings: Settings,
    cluster: Cluster,
    registered: Registered,
    raw: dict[int, tuple[int, int]],
    output: Topic | None,
    cutovers: dict[tuple[str, int, int], Cutover],
) -> Copy:
    group = of_generation(settings, registered.generation).group
    logs = [TopicPartition(registered.topic, number) for number in raw]
    committed = await cluster.committed(group, logs, settled=False)
    masked = await _bounds(cluster, output)
    parts = []
    for log in logs:
        first, end = raw[log.partition]
        position = committed[log].offset if log in committed else None
        live = registered.state == "live"
        lag = max(end - (first if position is None else position), 0) if live else 0
        cutover = cutovers.get((*log, registered.generation))
        parts.append(Part(log.partition, position, lag, *masked.get(log.partition, (0, 0)), cutover))
    return Copy(
        generation=registered.generation,
        topic=registered.output_topic,
        state=registered.state,
        policy_version=registered.policy_version,
        key_epoch=registered.key_epoch,
        records=_offsets(masked.values()),
        lag=sum(part.lag for part in parts),
        parts=tuple(parts),
    )


async def _bounds(cluster: Cluster, topic: Topic | None) -> dict[int, tuple[int, int]]:
    if topic is None:
        return {}
    logs = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    return {log.partition: bounds for log, bounds in (await cluster.bounds_of_each(logs)).items()}


def _offsets(bounds: Iterable[tuple[int, int]]) -> int:
    return sum(end - first for first, end in bounds)
