"""Takes the masked topics of a generation away that nobody is to read any more: closed and cut over, or cancelled.

What always holds: it stands in the catalog, with a receipt, before a topic is deleted. So whoever is cut off runs it again,
which deletes the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import TopicPartition

from cdc_masker.catalog import Catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.rights import described

__all__ = ["Doomed", "Reader", "Retiring"]


class Reader(NamedTuple):
    """A consumer group that committed offsets in so many partitions, and has read some of them to the end."""

    group: str
    partitions: int
    read: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """A masked topic that would be deleted. `offsets` is how many its log has; `state` that of its generation."""

    topic: str
    output: str
    state: str
    partitions: int
    offsets: int
    readers: tuple[Reader, ...]


class Retiring:
    """Of one generation. All methods raise `SetupError`, `TransientError` and `KafkaError`."""

    def __init__(self, catalog: Catalog, cluster: Cluster, generation: int) -> None:
        self._catalog = catalog
        self._cluster = cluster
        self._generation = generation

    async def look(self) -> list[Doomed]:
        """What would be deleted, in the order of topics. Raises `SetupError` when there is nothing."""
        number, topics = self._generation, await self._cluster.topics()
        ours = [each for each in await self._catalog.trail.generations() if each.generation == number]
        ends = {
            (each.topic, each.partition): each.old_position
            for replay in await self._catalog.replays.all()
            for each in await self._catalog.replays.cutovers(replay.generation)
            if each.closes == number
        }
        cut = {topic for topic, _ in ends}
        found = []
        for each in ours:
            if each.state == "closed" and each.topic not in cut:
                raise SetupError(
                    f"generation {number} of {each.topic} is closed, and consumers were not told where it ends; run "
                    "`cdc-masker replay finish` of the generation after it again"
                )
            copy = topics.get(each.output_topic)
            if each.state in ("closed", "cancelled") or (each.state == "retired" and copy is not None):
                found.append(await self._doomed(each, 0 if copy is None else copy.partitions, ends))
        if not found:
            states = " and ".join(sorted({each.state for each in ours})) or "not there"
            raise SetupError(f"generation {number} is {states}; one that is closed or cancelled can be retired")
        return found

    async def retire(self, doomed: Iterable[Doomed], reason: str) -> None:
        """Does it."""
        await self._catalog.replays.retire(self._generation, [each.topic for each in doomed], reason)
        there = await self._cluster.topics()
        refused = await self._cluster.delete([each.output for each in doomed if each.output in there])
        for topic, error in refused.items():
            raise TransientError(f"topic {topic} can't be deleted ({described(error)}); see to that, and run this again")

    async def _doomed(self, copy: Registered, partitions: int, ends: Mapping[tuple[str, int], int]) -> Doomed:
        logs = [TopicPartition(copy.output_topic, number) for number in range(partitions)]
        if not logs:
            return Doomed(copy.topic, copy.output_topic, copy.state, 0, 0, ())
        bounds = await self._cluster.bounds_of_each(logs)
        wanted = {log: ends.get((copy.topic, log.partition), bounds[log][1]) for log in logs}
        readers = [
            Reader(group, len(committed), sum(each.offset >= wanted[log] for log, each in committed.items()))
            for group, committed in (await self._cluster.readers(logs)).items()
        ]
        offsets = sum(end - first for first, end in bounds.values())
        return Doomed(copy.topic, copy.output_topic, copy.state, partitions, offsets, tuple(readers))
