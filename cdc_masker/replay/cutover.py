"""Has a replay's generation take the place of those before it, each partition at one source offset.

1. Wait until the replay's generation has come to where the earlier ones are, so that consumers wait for it but shortly.
2. Close the earlier ones in the catalog: no worker opens a partition of theirs any more.
3. Start the publisher of each of their partitions, as a worker would: that ends the work of every earlier one. How far masking
   came by then is where that partition ends, for ever.
4. Wait until the replay's generation has come past that.
5. Find the position in its copy from which on it holds what the closed one does not, and put that on record in the catalog, for
   all partitions at once.
6. Tell it in the topic of generations, which consumers follow.

What always holds: nothing is closed before the replay has passed its bound, nor where records would be in neither copy. Each
step can be done again, so whoever was cut off runs it once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import NamedTuple

from aiokafka import TopicPartition

from cdc_masker.catalog import Catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka import settling
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.origins import source_offset
from cdc_masker.kafka.publisher import Publisher
from cdc_masker.kafka.topics import LARGEST_ENTRY, Output
from cdc_masker.kafka.wire import Topic
from cdc_masker.ports import Cutover, Replay
from cdc_masker.replay.announcing import Announcement, announce
from cdc_masker.replay.positions import Made, position_past
from cdc_masker.replay.standing import SETTLE_SECONDS, Standing, deadline_in, of_generation
from cdc_masker.settings import Settings

__all__ = ["CutOver", "Ending", "Plan", "Step"]

_LOOK_SECONDS = 0.5
_AT_ONCE = 8


class Ending(NamedTuple):
    """A generation of a raw topic that is to be closed; `live`: it is not yet."""

    source: Topic
    closes: int
    output: str
    live: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `came`: how far the earlier generations came by now; `gone`: topics without a raw one any more."""

    replay: Replay
    endings: tuple[Ending, ...]
    came: Mapping[TopicPartition, int]
    gone: tuple[str, ...]


class Step(Enum):
    """What is done when it is told, in this order."""

    CLOSED = auto()
    FENCED = auto()
    PASSED = auto()
    RECORDED = auto()
    ANNOUNCED = auto()


class _End(NamedTuple):
    """Where a partition of a generation ends: before the raw record at `offset`, and behind the last one in its copy, at
    `position`.
    """

    ending: Ending
    partition: int
    offset: int
    position: int

    @property
    def log(self) -> TopicPartition:
        return TopicPartition(self.ending.source.name, self.partition)


class CutOver:
    """To one generation. All methods raise `SetupError`, `TransientError` and `KafkaError`."""

    def __init__(self, settings: Settings, catalog: Catalog, cluster: Cluster, generation: int) -> None:
        self._settings = settings
        self._catalog = catalog
        self._cluster = cluster
        self._generation = generation
        self._copies: Mapping[tuple[str, int], Registered] = {}

    async def look(self) -> Plan:
        """What is to be done. Raises `SetupError` when it may not be, and changes nothing."""
        number, store = self._generation, self._catalog.replays
        replay = await store.find(number)
        if replay is None:
            raise SetupError(f"generation {number} is no replay; `cdc-masker topics` lists the generations")
        if replay.state != "running":
            raise SetupError(f"replay {number} is {replay.state}; only one that runs can take the place of another")
        if not replay.stays:
            raise SetupError(f"replay {number} ends at its bound, and nothing is masked behind it; begin one with `--to end`")
        self._copies = {(each.topic, each.generation): each for each in await self._catalog.trail.generations()}
        recorded = [each for other in await store.all() for each in await store.cutovers(other.generation)]
        done = {(each.topic, each.closes) for each in recorded}
        topics = await self._cluster.topics()
        earlier = [
            each
            for (topic, generation), each in sorted(self._copies.items())
            if generation < number
            and (topic, number) in self._copies
            and each.state in ("live", "closed")
            and (topic, generation) not in done
        ]
        endings = tuple(
            Ending(topics[each.topic], each.generation, each.output_topic, each.state == "live")
            for each in earlier
            if each.topic in topics
        )
        gone = tuple(sorted({each.topic for each in earlier} - topics.keys()))
        if not endings and number not in {each.generation for each in recorded}:
            raise SetupError(f"no topic of generation {number} has an earlier one that is live: there is nothing to close")
        return Plan(replay, endings, await self._checked(replay, endings) if endings else {}, gone)

    async def finish(self, plan: Plan, reason: str, *, within: float, tell: Callable[[str], None]) -> AsyncIterator[Step]:
        """Does it, and tells each step that is done. The new generation is awaited so many seconds."""
        if plan.endings:
            await self._pass(plan, plan.came, within, tell)
            tell("closing the earlier generations in the catalog")
            for closes, endings in groupby(sorted(plan.endings, key=lambda each: each.closes), lambda each: each.closes):
                if topics := [each.source.name for each in endings if each.live]:
                    await self._catalog.replays.close(closes, topics, reason)
            yield Step.CLOSED
            tell("ending the work of their workers")
            ends = await self._ends(plan)
            yield Step.FENCED
            await self._pass(plan, _furthest((end.log, end.offset) for end in ends), within, tell)
            yield Step.PASSED
            tell("looking up where the new generation goes on")
            found = await self._cluster.topics()
            await self._catalog.replays.cut([await self._cutover(end, found) for end in ends])
            yield Step.RECORDED
        tell(f"telling it in topic {self._settings.generations_topic}")
        recorded = await self.cutovers()
        await announce(self._settings, self._cluster, [self._announcement(each) for each in recorded])
        yield Step.ANNOUNCED

    async def cutovers(self) -> list[Cutover]:
        """What is on record."""
        return await self._catalog.replays.cutovers(self._generation)

    # Looking

    async def _checked(self, replay: Replay, endings: Sequence[Ending]) -> dict[TopicPartition, int]:
        """How far the earlier generations came, after a look whether the new one has all that they have not, and goes on."""
        number, standing, reached = self._generation, self._standing(replay), []
        for ending in endings:
            closes, logs = ending.closes, _logs(ending.source)
            bounds = await self._cluster.bounds_of_each(logs)
            old, new = await standing.came(closes, ending.source, logs), await standing.reached(ending.source, logs)
            for log in logs:
                came, place = old.get(log, bounds[log][0]), f"{log.topic}[{log.partition}]"
                reached.append((log, came))
                stretch = standing.stretches.get(log)
                if stretch is None:
                    continue  # it came later, and is masked from its first record on
                if stretch.incarnation != ending.source.incarnation:
                    raise SetupError(f"topic {log.topic} was made anew since the replay began; begin another one")
                if stretch.start > came:
                    raise SetupError(
                        f"{place}: generation {closes} came to offset {came}, and generation {number} begins with "
                        f"{stretch.start}, so records between would be in neither; wait for generation {closes}, cancel it if "
                        "nobody reads it, or begin another replay from there"
                    )
                if await standing.lacks(log, new[log], stretch.end):
                    raise SetupError(
                        f"{place}: generation {number} came to offset {new[log]}, and its bound is {stretch.end}; finish when "
                        f"it has passed it, as `cdc-masker replay status {number}` tells"
                    )
        if not await self._cluster.has_members(of_generation(self._settings, number).group):
            raise SetupError(
                f"no worker makes generation {number} now, so nothing would be masked any more; start "
                f"`cdc-masker replay run {number}`"
            )
        return _furthest(reached)

    # Ending what was

    async def _ends(self, plan: Plan) -> list[_End]:
        topics, turn, standing = await self._cluster.topics(), asyncio.Semaphore(_AT_ONCE), self._standing(plan.replay)

        async def end(ending: Ending, log: TopicPartition) -> _End:
            async with turn:
                return await self._end(standing, ending, log, _partition(topics, ending.output, log.partition))

        # The raw topic as it is now: it may have grown.
        endings = [(each, log) for each in plan.endings for log in _logs(topics.get(each.source.name, each.source))]
        return list(await asyncio.gather(*(end(*each) for each in endings)))

    async def _end(self, standing: Standing, ending: Ending, log: TopicPartition, copy: TopicPartition | None) -> _End:
        settings = of_generation(self._settings, ending.closes)
        publisher = Publisher(settings, log, Output(ending.output, log.partition + 1, LARGEST_ENTRY))
        try:
            await asyncio.wait_for(publisher.start(), settings.transaction_timeout)
        finally:
            await publisher.stop()
        came = (await standing.came(ending.closes, ending.source, [log])).get(log)
        audited = await self._catalog.audit.last(ending.closes, ending.source.incarnation, *log)
        offset = (await self._cluster.bounds(log))[0] if came is None else came
        if audited is not None:  # brokers that were killed can give an older offset
            offset = max(offset, audited.last_offset + 1)
        if copy is None:
            return _End(ending, log.partition, offset, 0)
        await settling.settled(self._cluster, copy, deadline=deadline_in(SETTLE_SECONDS))
        last = await self._cluster.last_record(copy)
        if last is None:
            return _End(ending, log.partition, offset, 0)
        if audited is not None and (source_offset(last) or 0) >= offset:
            raise TransientError(
                f"{copy.topic}[{copy.partition}] holds a record of offset {source_offset(last)}, and masking came, it is said, "
                f"to {offset}: audit entries are still on their way to PostgreSQL; start a worker, which copies them, then run "
                "this again"
            )
        return _End(ending, log.partition, offset, last.offset + 1)

    # Going on

    async def _pass(
        self, plan: Plan, offsets: Mapping[TopicPartition, int], within: float, tell: Callable[[str], None]
    ) -> None:
        """Returns when the new generation has all records before these offsets."""
        standing, deadline = self._standing(plan.replay), deadline_in(within)
        sources = {each.source.name: each.source for each in plan.endings}
        left, before = dict(offsets), dict[TopicPartition, int]()
        while True:
            for source in sources.values():
                logs = [log for log in left if log.topic == source.name]
                reached = await standing.reached(source, logs) if logs else {}
                for log, came in reached.items():
                    stands, before[log] = before.get(log) == came, came
                    if came >= left[log] or (stands and not await standing.lacks(log, came, left[log])):
                        del left[log]
            if not left:
                return
            tell(f"waiting until generation {self._generation} has come as far: {len(left)} of {len(offsets)} partitions to go")
            if asyncio.get_running_loop().time() > deadline:
                log = min(left)
                raise TransientError(
                    f"generation {self._generation} came to offset {before[log]} of {log.topic}[{log.partition}], and has to "
                    f"come to {left[log]}; see to its workers (`cdc-masker replay run {self._generation}`), then run this again"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _cutover(self, end: _End, topics: Mapping[str, Topic]) -> Cutover:
        topic, number, closes = end.ending.source.name, self._generation, end.ending.closes
        copy = _partition(topics, self._copies[topic, number].output_topic, end.partition)
        if copy is None:  # the topic grew, and nothing of it is masked yet
            return Cutover(topic, end.partition, number, closes, end.offset - 1, end.position, 0)
        first, behind = await settling.settled(self._cluster, copy, deadline=deadline_in(SETTLE_SECONDS))

        async def at(position: int) -> Made | None:
            record = await self._cluster.first_record(copy, position, behind)
            if record is None:
                return None
            source = source_offset(record)
            if source is None:
                raise SetupError(f"the record at {record.offset} of {copy.topic}[{copy.partition}] is none of cdc-masker's")
            return Made(record.offset, source)

        new_position = await position_past(end.offset - 1, first, behind, at)
        return Cutover(topic, end.partition, number, closes, end.offset - 1, end.position, new_position)

    def _announcement(self, cutover: Cutover) -> Announcement:
        old, new = (self._copies[cutover.topic, each].output_topic for each in (cutover.closes, cutover.generation))
        return Announcement(
            topic=cutover.topic,
            partition=cutover.partition,
            generation=cutover.generation,
            closes=cutover.closes,
            last_source_offset=cutover.last_source_offset,
            old_topic=old,
            old_position=cutover.old_position,
            new_topic=new,
            new_position=cutover.new_position,
        )

    def _standing(self, replay: Replay) -> Standing:
        return Standing(self._settings, self._catalog.audit, self._cluster, replay)


def _furthest(came: Iterable[tuple[TopicPartition, int]]) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    for log, offset in came:
        found[log] = max(offset, found.get(log, 0))
    return found


def _logs(source: Topic) -> list[TopicPartition]:
    return [TopicPartition(source.name, number) for number in range(source.partitions)]


def _partition(topics: Mapping[str, Topic], name: str, number: int) -> TopicPartition | None:
    """That partition, None if it is not there."""
    return TopicPartition(name, number) if name in topics and number < topics[name].partitions else None
