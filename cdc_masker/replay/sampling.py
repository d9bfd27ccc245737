"""What is learnt from a few raw records before all of them are masked: how large they are, of which tables, how fast it goes.

Records are masked in memory under made-up keys, and what comes out is thrown away: names of tables and numbers are all that
stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from cdc_masker import cores, plugins
from cdc_masker.coverage import MadeUpSubjects
from cdc_masker.events import Record
from cdc_masker.guard import EgressGuard
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import PartitionReader, partition_reader
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.ports import Stretch
from cdc_masker.settings import Settings

__all__ = ["Sample", "Span", "look", "mean", "sample"]

Span = tuple[int, int]
"""Offsets from the first one to before the second one."""

_RECORDS = 4000
_LEAST = 20
_LOOK_BACK = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """So many `records` of so many `bytes` were looked at. `pace`: how many one process masks in a second."""

    records: int
    bytes: int
    tables: tuple[str, ...]
    pace: float

    @property
    def mean(self) -> float:
        """Bytes of one record."""
        return self.bytes / self.records if self.records else 0.0


def sample(settings: Settings, policy: Policy, found: Mapping[TopicPartition, Sequence[Record]]) -> Sample:
    """What there is to learn from these records. Raises `PolicyError` when the policy can't be carried out."""
    keys = new_keyring(policy.key_epoch)
    subjects = MadeUpSubjects(keys, policy.key_epoch)
    masker = Masker(
        policy,
        keys,
        guard=EgressGuard(settings.guard_every),
        known=plugins.methods(settings),
        native=cores.is_compiled(settings.core),
    )
    tables: set[str] = set()
    for records in found.values():  # the first time, to make plans
        tables |= {treatment.table for treatment in masker.mask_batch(records, subjects).treatments}
    began = time.perf_counter()
    for records in found.values():
        masker.mask_batch(records, subjects)
    seconds = time.perf_counter() - began
    count, size = _counted(found)
    return Sample(count, size, tuple(sorted(tables)), count / seconds if count else 0.0)


async def mean(settings: Settings, cluster: Cluster, stretches: Iterable[Stretch]) -> float:
    """Bytes of one record of these, as far as they are still there; 0.0 without any. Raises also `KafkaError`."""
    spans = {TopicPartition(one.topic, one.partition): (one.start, one.end) for one in stretches}
    bounds = await cluster.bounds_of_each([*spans])
    there = {each: (max(start, bounds[each][0]), min(end, bounds[each][1])) for each, (start, end) in spans.items()}
    count, size = _counted(await look(settings, there))
    return size / count if count else 0.0


async def look(settings: Settings, spans: Mapping[TopicPartition, Span]) -> dict[TopicPartition, list[Record]]:
    """Some records of each span, the last one that a `read_committed` reader sees among them.

    Raises `TransientError` when the brokers are away.
    """
    most = max(_RECORDS // max(len(spans), 1), _LEAST)
    async with partition_reader(settings) as reader:
        return {partition: await _look(reader, partition, span, most) for partition, span in spans.items()}


async def _look(reader: PartitionReader, partition: TopicPartition, span: Span, most: int) -> list[Record]:
    start, end = span
    found: list[Record] = []
    async for records in reader.read(partition, start, end):
        found += records
        if len(found) >= most:
            break
    else:
        return found
    del found[most:]
    rest, behind, last = found[-1].offset + 1, _LOOK_BACK, list[Record]()
    while not last:
        since = max(rest, end - behind)
        last = [record async for records in reader.read(partition, since, end) for record in records]
        if since == rest:
            break
        behind *= 10  # aborted records and markers of transactions are no records
    return found + last


def _counted(found: Mapping[TopicPartition, Sequence[Record]]) -> tuple[int, int]:
    """How many records there are, and their bytes: keys, values and headers."""
    every = [record for records in found.values() for record in records]
    return len(every), sum(map(_size, every))


def _size(record: Record) -> int:
    return (
        len(record.key or b"") + len(record.value or b"") + sum(len(name) + len(value or b"") for name, value in record.headers)
    )
