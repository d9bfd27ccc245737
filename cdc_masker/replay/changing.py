"""What a new generation of topics would hold otherwise than the present one, seen on some of their records.

Batches from the beginning, the middle and the end of what is there of each partition are masked again, in the shape that rows
would have: so it takes seconds, however much there is. `cdc_masker.replay.comparing` looks at all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from math import ceil

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.audit.anew import Anew, Masking
from cdc_masker.audit.bridge import Bridge, across
from cdc_masker.audit.findings import Report
from cdc_masker.audit.records import Made, MaskedCopy, RawLog, Recompute, check
from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.errors import TransientError
from cdc_masker.events import AuditEntry, Note, Outcome, Record
from cdc_masker.heads import Chain
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import PartitionReader, partition_reader
from cdc_masker.methods import Keys
from cdc_masker.replay.comparing import Comparing
from cdc_masker.replay.differing import Answer, Comparison
from cdc_masker.settings import Settings

__all__ = ["would_change"]

_RECORDS = 5000
_TIMES = range(1, 253_402_300_799_999)  # in ms, of which there is a datetime


async def would_change(settings: Settings, keys: Keys, policy: int, topics: Collection[str]) -> Answer:
    """What differs between the newest live copies of these topics and those that would begin under that policy version. Topics
    without a copy, or without records that were masked, have nothing to tell.

    Needs to read what workers and operators may read, and keys of subjects where a policy has domains per subject. Raises
    `PolicyError`, `KeyringError`, `SetupError` and `TransientError`.
    """
    comparison, report = Comparison(), Report()
    async with AsyncExitStack() as resources:
        catalog = await resources.enter_async_context(open_catalog(settings))
        cluster = Cluster(settings)
        resources.push_async_callback(cluster.close)
        await cluster.start()
        raw = await resources.enter_async_context(partition_reader(settings))
        masked = await resources.enter_async_context(partition_reader(settings))
        comparing = Comparing(Anew(settings, catalog, Masking(keys, 1.0, 0)), comparison, policy, as_new=True)
        looking = _Looking(catalog, cluster, raw, masked, comparing, report)
        try:
            batches = await _batches(catalog, cluster, topics)
            await across(lambda bridge: looking.run(bridge, batches))
        except KafkaError:
            raise TransientError("Kafka can't be read; check that its brokers run and that its user may read") from None
    unchecked: Counter[str] = Counter()
    for summary in report.summaries.values():
        unchecked.update(summary.unchecked)
    return comparison.answer(unchecked)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch of a copy, and the first offset that the raw log still has."""

    copy: Registered
    chain: Chain
    entry: AuditEntry
    first: int

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.chain.topic, self.chain.partition)


async def _batches(catalog: Catalog, cluster: Cluster, topics: Collection[str]) -> list[_Batch]:
    """Some of each partition."""
    there = await cluster.topics()
    newest = {each.topic: each.number for each in await catalog.generations.live() if each.topic in topics}
    found = []
    for copy in await catalog.trail.generations():
        if copy.topic not in there or newest.get(copy.topic) != copy.generation:
            continue
        for number in range(there[copy.topic].partitions):
            chain = Chain(copy.generation, copy.topic, number, there[copy.topic].incarnation)
            last = await catalog.audit.last(chain.generation, chain.incarnation, chain.topic, chain.partition)
            first, end = await cluster.bounds(TopicPartition(copy.topic, number))
            if last is not None and first < (end := min(end, last.last_offset + 1)):
                entries = await _entries(catalog, chain, (first, (first + end) // 2, end - 1))
                found += [_Batch(copy, chain, entry, first) for entry in entries]
    return found


async def _entries(catalog: Catalog, chain: Chain, offsets: Iterable[int]) -> list[AuditEntry]:
    """Those of a chain that cover these offsets."""
    begins = set()
    for offset in offsets:
        covering = await catalog.trail.covering(chain.topic, chain.generation, chain.partition, offset)
        begins |= {begin for each, begin in covering if each == chain}
    rows = [row for begin in sorted(begins) async for page in catalog.trail.rows(chain, begin, begin) for row in page]
    return [row for row in rows if isinstance(row, AuditEntry) and row.accepted is None]


@dataclass(frozen=True, slots=True)
class _Looking:
    catalog: Catalog
    cluster: Cluster
    raw: PartitionReader
    masked: PartitionReader
    comparing: Comparing
    report: Report

    def run(self, bridge: Bridge, batches: Sequence[_Batch]) -> None:
        for copy, own in groupby(batches, key=lambda batch: batch.copy):
            largest = int(bridge.wait(self.cluster.settings_of(copy.output_topic))["max.message.bytes"])
            recompute = self.comparing.recomputer(bridge, copy, largest)
            for batch in own:
                self._look(bridge, batch, recompute, _RECORDS / len(batches))

    def _look(self, bridge: Bridge, batch: _Batch, recompute: Recompute, most: float) -> None:
        entry = batch.entry
        start = max(batch.first, entry.first_offset)
        raw = [*bridge.each(self.raw.read(batch.partition, start, entry.last_offset + 1))]
        if raw:  # not so of aborted ones
            some = _Some(recompute, ceil(len(raw) / most))
            masked = MaskedCopy(batch.chain, self._published(bridge, batch, raw), self.report)
            check(entry, batch.chain, masked, RawLog(raw, start=start), self.report, some)

    def _published(self, bridge: Bridge, batch: _Batch, raw: Iterable[Record]) -> Iterator[Record]:
        """The masked partition from where the batch may begin, but what is older than it."""
        partition = TopicPartition(batch.copy.output_topic, batch.chain.partition)
        first, end = bridge.wait(self.cluster.bounds(partition))
        before = bridge.wait(self.catalog.trail.published_before(batch.chain, batch.entry.first_offset))
        oldest = min(record.timestamp for record in raw)
        if oldest in _TIMES:
            since = datetime.fromtimestamp((oldest - 1) / 1000, UTC)  # one less, as this is no exact number
            first = max(first, bridge.wait(self.cluster.offsets_at(since, [partition])).get(partition, end))
        return (each for each in bridge.each(self.masked.read(partition, max(first, before), end)) if each.timestamp >= oldest)


class _Some:
    """Masks one of so many records anew."""

    def __init__(self, recompute: Recompute, every: int) -> None:
        self._recompute = recompute
        self._every = every

    def draws(self, record: Record) -> bool:
        return record.offset % self._every == 0

    def mask(self, entry: AuditEntry, record: Record, one: Made | Note) -> tuple[Outcome | None, str | None]:
        return self._recompute.mask(entry, record, one)
