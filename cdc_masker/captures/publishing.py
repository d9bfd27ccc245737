"""Masks a capture into Kafka, as a replay: what workers have for the partitions of a topic, fed from a file.

The capture stands in for what the log of its topics held once. So the topics have to be there, as those that it was made of:
entries name their ids, erasures hold for their offsets, and `audit verify` compares what Kafka still has of them.

What always holds: whatever dies when, each record is published once and in order, by the same transactions as those of workers;
a replay goes on with the capture that it was begun with, and with no other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.captures.reading import Partition, Sizes, batches, partition_of, size_of
from cdc_masker.catalog import Catalog
from cdc_masker.catalog.notices import Notices
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.events import Record
from cdc_masker.kafka import starting
from cdc_masker.kafka.batch import Batch
from cdc_masker.kafka.beside import Task, beside
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.partitions import PartitionReader, partition_reader
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.rights import described
from cdc_masker.ports import Replay, Stretch
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Extent", "begin", "extents", "found", "publish"]


class Extent(NamedTuple):
    """What a capture holds of a partition: from offset `start` to its `last` record."""

    start: int
    last: Record

    @property
    def bounds(self) -> tuple[int, int]:
        """From there, to before there."""
        return self.start, self.last.offset + 1


def extents(records: Iterable[Record]) -> dict[Partition, Extent]:
    """What a capture holds, by partition."""
    seen: dict[Partition, Extent] = {}
    for record in records:
        where = partition_of(record)
        known = seen.get(where)
        seen[where] = Extent(record.offset if known is None else known.start, record)
    return seen


async def begin(settings: Settings, catalog: Catalog, held: Mapping[Partition, Extent], reason: str) -> Replay:
    """Begins a replay of what a capture holds, under the policy version in force.

    Raises `SetupError` where the topics can't be those that it was made of, and `TransientError`.
    """
    for where in sorted(held):
        if not settings.is_source(where.topic):
            raise SetupError(f"{PREFIX}SOURCE_TOPICS does not match topic {where.topic}, so workers don't mask it: change it")
    cluster = Cluster(settings)
    await cluster.start()
    try:
        async with partition_reader(settings) as reader:
            stretches = [await _stretch(cluster, reader, where, held[where]) for where in sorted(held)]
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"Kafka did not do what is needed ({described(error)}); try again") from None
    finally:
        await cluster.close()
    pattern = "|".join(sorted({re.escape(where.topic) for where in held}))
    policy = await catalog.policies.current()
    return await catalog.replays.begin(policy, stays=False, pattern=pattern, reason=reason, stretches=stretches)


async def found(catalog: Catalog, number: int, held: Mapping[Partition, Extent]) -> Replay:
    """The replay of that number, which a capture with this in it was begun with. Raises `SetupError` for any other."""
    begun = await catalog.replays.find(number)
    if begun is None:
        raise SetupError(f"there is no replay {number}; `cdc-masker replay status` lists those that there are")
    stretches = {Partition(one.topic, one.partition): (one.start, one.end) for one in begun.stretches}
    if stretches != {where: extent.bounds for where, extent in held.items()}:
        raise SetupError(f"replay {number} was begun with other partitions or offsets than this capture holds; name its own")
    return begun


async def publish(
    settings: Settings,
    begun: Replay,
    held: Mapping[Partition, Extent],
    records: Iterable[Record],
    tell: Callable[[], None],
) -> None:
    """Publishes what of the records was not published yet, and returns when its audit is in the catalog.

    Raises `SetupError` when a partition can't be masked until somebody acts, and when the replay is cancelled.
    """
    ours = settings.model_copy(update={"generation": begun.generation, "source_topics": begun.pattern})
    async with AsyncExitStack() as resources:
        parts, _ = await starting.start(ours, resources)
        parts = replace(parts, held={TopicPartition(*where): extent.bounds for where, extent in held.items()})
        lanes = Lanes(parts)
        resources.push_async_callback(lanes.close)
        tasks = beside(parts, lanes, lambda wake: Notices(ours, wake).run())
        await _meanwhile(_Feeding(parts, lanes, held, tell).run(records), [task for _, task in tasks])


async def _stretch(cluster: Cluster, reader: PartitionReader, where: Partition, extent: Extent) -> Stretch:
    topic = (await cluster.topics()).get(where.topic)
    if topic is None or where.partition >= topic.partitions:
        name = f"topic {where.topic}" if topic is None else f"partition {where.partition} of topic {where.topic}"
        raise SetupError(f"{name} is not there: its records can be masked into files (--output), not into Kafka")
    partition, (start, end) = TopicPartition(*where), extent.bounds
    first, visible = await cluster.bounds(partition)
    if visible < end or (first < end and await _differs(reader, partition, extent.last)):
        raise SetupError(
            f"{where.topic}[{where.partition}] has not the capture's record at offset {end - 1}: the topic was deleted "
            "and made again since, or is another one; the capture can be masked into files (--output), not into Kafka"
        )
    return Stretch(*where, topic.incarnation, start, end)


async def _differs(reader: PartitionReader, partition: TopicPartition, captured: Record) -> bool:
    """Whether the topic holds another record there; one that was compacted away says nothing."""
    async for records in reader.read(partition, captured.offset, captured.offset + 1):
        if records:
            return records[0] != captured
    return False


async def _meanwhile(work: Task, others: Iterable[Task]) -> None:
    """Does the work while the others run, which have no end. What one of them raises ends it."""
    doing = asyncio.create_task(work)
    tasks = [doing, *map(asyncio.create_task, others)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Feeding:
    """Lanes that get their batches from a capture. `tell` is called for each batch."""

    def __init__(self, parts: Parts, lanes: Lanes, held: Mapping[Partition, Extent], tell: Callable[[], None]) -> None:
        self._parts = parts
        self._lanes = lanes
        self._held = held
        self._tell = tell
        self._next: dict[Partition, tuple[int, int]] = {}  # where the next batch starts, and the lane's epoch
        self._taken: dict[Partition, asyncio.Task[None]] = {}

    async def run(self, records: Iterable[Record]) -> None:
        settings = self._parts.settings
        self._lanes.open([TopicPartition(*where) for where in self._held], self._seek)
        await self._lanes.opened()
        self._check()
        sizes = Sizes(settings.batch_records, settings.fetch_bytes, settings.buffer_bytes // 2)
        following = batches(self._wanted(records, dict(self._next)), sizes)
        while (batch := await asyncio.to_thread(next, following, None)) is not None:
            await self._feed(batch)
            self._tell()
        await self._until(lambda: not self._taken)
        if unfinished := [each for each in self._lanes.progress() if each.done != "bound"]:
            raise SetupError(f"{unfinished[0].topic}[{unfinished[0].partition}] did not get to its end; the log says why")
        await self._parts.lag.settle()

    def _seek(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        self._next[Partition(*partition)] = offset, epoch

    @staticmethod
    def _wanted(records: Iterable[Record], starts: Mapping[Partition, tuple[int, int]]) -> Iterator[Record]:
        """Those that were not published yet; a partition without a start is done."""
        for record in records:
            start = starts.get(partition_of(record))
            if start is not None and record.offset >= start[0]:
                yield record

    async def _feed(self, records: Sequence[Record]) -> None:
        where = partition_of(records[0])
        await self._until(lambda: where not in self._taken and self._lanes.room > self._parts.settings.buffer_bytes // 2)
        start, epoch = self._next[where]
        end = records[-1].offset + 1
        self._next[where] = end, epoch
        size = sum(map(size_of, records))
        batch = Batch(TopicPartition(*where), epoch, start, end, self._held[where].bounds[1], size, records)
        self._lanes.fetched(batch)
        self._taken[where] = asyncio.create_task(self._lanes.take(batch))

    async def _until(self, so: Callable[[], bool]) -> None:
        """Waits for batches to be published until it is so."""
        while not so():
            await asyncio.wait(self._taken.values(), return_when=asyncio.FIRST_COMPLETED)
            for where in [where for where, task in self._taken.items() if task.done()]:
                self._taken.pop(where).result()
            self._check()

    def _check(self) -> None:
        for each in self._lanes.progress():
            if each.halted not in (None, self._parts.waits_for):
                raise SetupError(f"{each.topic}[{each.partition}] can't be masked ({each.halted}); the log says why")
