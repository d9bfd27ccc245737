"""The worker without Faust: the same lanes, intake, masking, audit and transactions, driven by a loop on aiokafka.

What Faust adds (its consumer's thread, streams and actors) is left out: the consumer lives in the one event loop, and a task
for each partition takes its batches. The worker's settings are all that it reads.

SIGTERM ends it in good order.

Run: python -m benchmarks.peers.loop
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from cdc_masker.catalog.notices import Notices
from cdc_masker.kafka import starting
from cdc_masker.kafka.auditing import AuditCopier
from cdc_masker.kafka.batch import Batch
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.transport import ConsumerThread
from cdc_masker.settings import Settings, load

_PATIENCE, _BUSY_PATIENCE = 1.0, 0.02  # as Faust and the transport have them


class Reader(ConsumerThread):
    """What the worker's consumer does in its thread, without the thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cursors = {}
        self._intake = None
        self._reader = self._create_consumer(asyncio.get_running_loop())
        self.consumer = SimpleNamespace(flow_active=True)

    def _ensure_consumer(self) -> Any:
        return self._reader

    async def batches(
        self, wanted: Collection[TopicPartition], halted: Mapping[TopicPartition, int], room: int, patience: float
    ) -> list[Batch]:
        return await self._batches(wanted, halted, room, patience)

    def _halt(self, partition: TopicPartition, code: str, problem: str) -> None:
        raise RuntimeError(problem)


class Loop(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped to us
    def __init__(self, parts: Parts) -> None:
        self._lanes = Lanes(parts)
        self._reader = Reader(parts.settings)
        self._queues: dict[TopicPartition, asyncio.Queue[Batch]] = defaultdict(asyncio.Queue)

    async def run(self, tasks: asyncio.TaskGroup, sources: Collection[str]) -> None:
        consumer = self._reader._ensure_consumer()
        await consumer.start()
        consumer.subscribe(sorted(sources), listener=self)
        try:
            await self._read(tasks)
        finally:
            await self._lanes.close()
            await consumer.stop()

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        reader, lanes = self._reader, self._lanes
        while True:
            patience = _PATIENCE if lanes.idle else _BUSY_PATIENCE
            for batch in await reader.batches(lanes.hungry(), lanes.halted(), lanes.room, patience):
                lanes.fetched(batch)
                if batch.records:
                    if batch.partition not in self._queues:
                        tasks.create_task(self._mask(self._queues[batch.partition]))
                    self._queues[batch.partition].put_nowait(batch)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._reader._cursors.clear()
        await self._lanes.close()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._lanes.open(assigned, self._reader.go_on_at)

    async def _mask(self, queue: asyncio.Queue[Batch]) -> None:
        while True:
            await self._lanes.take(await queue.get())


async def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    settings = load()
    whole = asyncio.current_task()
    assert whole is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    async with AsyncExitStack() as resources:
        parts, sources = await starting.start(settings, resources)
        news = asyncio.Event()

        async def refresh() -> None:
            while True:
                await asyncio.sleep(settings.policy_refresh)
                await parts.maskers.refresh()
                parts.maskers.tell()

        async with asyncio.TaskGroup() as tasks:
            for beside in (
                AuditCopier(settings, parts.audit).run(),
                parts.lag.run(),
                parts.presence.run(),
                Notices(settings, news.set).run(),
                refresh(),
            ):
                tasks.create_task(beside)
            await Loop(parts).run(tasks, sources)


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
