"""What there is to verify, at one time, while workers go on.

The order of the looks is what makes it hold together. Rows, entries and masked records that are there before committed offsets
are read are of batches before these: whatever is behind a committed offset then is a finding. Their ends are taken again after
that, when all that was written by then is settled, so that all up to the committed offsets is there; what is behind these by
then is left to the next run. Rows are awaited until they have come as far as the audit topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.audit.findings import Code, Report
from cdc_masker.catalog.trail import Extent, PostgresTrail, Registered
from cdc_masker.errors import TransientError
from cdc_masker.heads import Chain, Head
from cdc_masker.kafka import settling, wire
from cdc_masker.kafka.auditing import group_of
from cdc_masker.kafka.checkpoints import Checkpoint
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import Settings

__all__ = ["AuditLog", "Bounds", "Place", "Selection", "Snapshot", "look"]

_LOOK_SECONDS = 0.5
_SETTLE_SECONDS = 10.0


class Selection(NamedTuple):
    """What is verified: all of it, or some topics or partitions, or one generation; records only of batches masked since then,
    in ms.
    """

    topics: Collection[str] = ()
    generation: int | None = None
    since: int = 0
    partitions: Collection[int] = ()

    def takes(self, topic: str, generation: int) -> bool:
        return (not self.topics or topic in self.topics) and self.generation in (None, generation)

    def takes_partition(self, number: int) -> bool:
        return not self.partitions or number in self.partitions


class Place(NamedTuple):
    """One partition of one generation's copy of a raw topic."""

    topic: str
    generation: int
    partition: int


class Bounds(NamedTuple):
    """A partition, from `first` to before `end`; what is before `settled` was there before committed offsets were read."""

    first: int
    settled: int
    end: int


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit topic. `copied`: up to there its rows were stored; `behind`: that is not all of it."""

    partition: TopicPartition
    bounds: Bounds
    behind: bool
    copied: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there. `masked` has the masked partitions that are there, `positions` the head for each chain that a committed
    offset names.
    """

    topics: Mapping[str, wire.Topic]
    registered: Mapping[tuple[str, int], Registered]
    extents: Mapping[Chain, Extent]
    masked: Mapping[Place, Bounds]
    positions: Mapping[Chain, Head]
    log: AuditLog | None


async def look(
    settings: Settings, cluster: Cluster, trail: PostgresTrail, selection: Selection, report: Report, *, within: float
) -> Snapshot:
    """Looks; waits for rows so many seconds. Raises `TransientError` and `SetupError` where something can't be looked at."""
    deadline = asyncio.get_running_loop().time() + max(within, _SETTLE_SECONDS)
    try:
        topics = await cluster.topics()
        generations = await trail.generations()
        registered = {(each.topic, each.generation): each for each in generations}
        wanted = {key: each for key, each in registered.items() if selection.takes(*key)}
        extents = {chain: each for chain, each in (await trail.chains()).items() if _takes(selection, chain)}
        audit = TopicPartition(settings.audit_topic, 0)
        settled = (await cluster.bounds(audit))[1] if settings.audit_topic in topics else 0
        before = await _masked(cluster.bounds, topics, wanted.values())
        positions = await _positions(settings, cluster, topics, wanted.values(), report)
        after = await _masked(partial(settling.settled, cluster, deadline=deadline), topics, wanted.values())
        masked = {place: Bounds(first, before.get(place, (0, 0))[1], end) for place, (first, end) in after.items()}
        log = await _log(settings, cluster, audit, settled, within, deadline) if settings.audit_topic in topics else None
    except KafkaError:
        raise TransientError("Kafka can't be read; check that its brokers run and that its user may read") from None
    return Snapshot(topics, registered, extents, masked, positions, log)


def _takes(selection: Selection, chain: Chain) -> bool:
    return selection.takes(chain.topic, chain.generation)


async def _masked(
    bounds_of: Callable[[TopicPartition], Awaitable[tuple[int, int]]],
    topics: Mapping[str, wire.Topic],
    generations: Iterable[Registered],
) -> dict[Place, tuple[int, int]]:
    found = {}
    for each in generations:
        topic = topics.get(each.output_topic)
        for partition in range(topic.partitions if topic else 0):
            bounds = await bounds_of(TopicPartition(each.output_topic, partition))
            found[Place(each.topic, each.generation, partition)] = bounds
    return found


async def _positions(
    settings: Settings,
    cluster: Cluster,
    topics: Mapping[str, wire.Topic],
    generations: Iterable[Registered],
    report: Report,
) -> dict[Chain, Head]:
    found = {}
    for each in generations:
        topic = topics.get(each.topic)
        partitions = [TopicPartition(each.topic, number) for number in range(topic.partitions if topic else 0)]
        group = settings.model_copy(update={"generation": each.generation}).group
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        offsets = await settling.committed(cluster, group, partitions, deadline=deadline)
        for (name, partition), committed in offsets.items():
            checkpoint = Checkpoint.decode(committed.metadata)
            if checkpoint is None:
                chain = Chain(each.generation, name, partition, "")
                report.found(Code.HEAD, chain, committed.offset, "the committed offset was not written by cdc-masker")
            else:
                found[Chain(each.generation, name, partition, checkpoint.incarnation)] = Head(
                    committed.offset - 1, checkpoint.head
                )
    return found


async def _log(
    settings: Settings, cluster: Cluster, audit: TopicPartition, settled: int, within: float, deadline: float
) -> AuditLog:
    """The audit topic as it is now; its rows are awaited so many seconds."""
    first, end = await settling.settled(cluster, audit, deadline=deadline)
    deadline = asyncio.get_running_loop().time() + within
    while True:
        copied = (await cluster.committed(group_of(settings), [audit])).get(audit)
        behind = end > first and (copied is None or copied.offset < end)
        if not behind or asyncio.get_running_loop().time() > deadline:
            return AuditLog(audit, Bounds(first, settled, end), behind, first if copied is None else copied.offset)
        await asyncio.sleep(_LOOK_SECONDS)
