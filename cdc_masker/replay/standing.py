"""How far generations of a raw topic came, and what a replay still lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiokafka import TopicPartition

from cdc_masker.kafka import settling
from cdc_masker.kafka.checkpoints import position
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Topic
from cdc_masker.ports import AuditStore, Replay
from cdc_masker.settings import Settings

__all__ = ["SETTLE_SECONDS", "Standing", "deadline_in", "of_generation"]

SETTLE_SECONDS = 30.0
"""How long a transaction that is being ended is waited for."""


class Standing:
    """Beside one replay. All methods raise `KafkaError`, `TransientError`, and `SetupError` for a partition that is halted."""

    def __init__(self, settings: Settings, audit: AuditStore, cluster: Cluster, replay: Replay) -> None:
        self._settings = settings
        self._audit = audit
        self._cluster = cluster
        self._generation = replay.generation
        self.stretches = {TopicPartition(each.topic, each.partition): each for each in replay.stretches}

    async def came(self, generation: int, source: Topic, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """How far a generation came, by partition; those at which it did not begin are left out."""
        group = of_generation(self._settings, generation).group
        committed = await settling.committed(self._cluster, group, logs, deadline=deadline_in(SETTLE_SECONDS))
        found = {}
        for log in logs:
            audited = None
            if log not in committed:
                audited = await self._audit.last(generation, source.incarnation, *log)
            came = position(
                *log, incarnation=source.incarnation, committed=committed.get(log), audited=audited, masked_before=False
            )
            if came is not None:
                found[log] = came.offset
        return found

    async def reached(self, source: Topic, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the replay comes to next, of each of these partitions."""
        came = await self.came(self._generation, source, logs)
        bounds = await self._cluster.bounds_of_each(logs)
        begins = {log: max(bounds[log][0], self.stretches[log].start if log in self.stretches else 0) for log in logs}
        return {**begins, **came}

    async def lacks(self, log: TopicPartition, at: int, end: int) -> bool:
        """Whether there are records from `at` to before `end`, or were: markers and aborted ones are none."""
        if at >= end:
            return False
        earliest, _ = await self._cluster.bounds(log)
        return at < earliest or await self._cluster.first_record(log, at, end) is not None


def of_generation(settings: Settings, number: int) -> Settings:
    """The settings of that generation's workers."""
    return settings.model_copy(update={"generation": number})


def deadline_in(seconds: float) -> float:
    """In the event loop's seconds."""
    return asyncio.get_running_loop().time() + seconds
