"""A Faust transport that hands over one batch of one partition per event, and leaves offsets alone.

Faust's aiokafka consumer is kept for what it does well (thread, heartbeats, rebalances, actors per partition) and overruled
where it would lose or repeat records:

- it reads `read_committed`, and an offset that is missing or out of range never resets by itself;
- it does not seek to committed offsets: lanes decide where each partition goes on, after fencing;
- only lanes that want a batch are given one, in turn and within `buffer_bytes` (`kafka.intake`), so that no partition holds
  back another and memory is bounded;
- an event, which Faust holds on to until the partition's next one comes, is emptied when its batch is taken out;
- it subscribes to exactly the topics that the watcher found, whatever Faust's conductor believes.

What always holds: the offsets from one batch's `start` to its `end` are those that follow the batch before, or the seek that
its epoch began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from cdc_masker.events import Record
from cdc_masker.kafka.batch import Batch
from cdc_masker.kafka.failing import fail_stop
from cdc_masker.kafka.intake import Intake, limits
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.publisher import told
from cdc_masker.settings import Settings

__all__ = ["BatchConsumer", "BatchTransport"]

logger = logging.getLogger(__name__)

# While some lanes are busy, a fetch for the others must return soon, or a lane that gets free would wait for their data.
_BUSY_SECONDS = 0.02
_LONGEST_BATCH_SECONDS = 300


@dataclass(slots=True)
class _Cursor:
    epoch: int
    position: int
    behind: bool = True


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust is untyped to us
    """Reads in a thread of its own, so that heartbeats go on while the main thread masks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._intake: Intake | None = None
        self._settings: Settings = self.transport.settings

    async def on_start(self) -> None:
        """Ends the process where Faust would let it crash: Kafka may be away just now."""
        try:
            await super().on_start()
        except KafkaError as error:
            fail_stop("connecting the consumer", told(error))

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> AIOKafkaConsumer:
        settings = self._settings
        session = int(settings.session_timeout * 1000)
        return AIOKafkaConsumer(
            **settings.kafka_client(),
            client_id=settings.group,
            group_id=settings.group,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            max_poll_records=settings.batch_records,
            **limits(settings),
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 4,
            max_poll_interval_ms=_LONGEST_BATCH_SECONDS * 1000,
            metadata_max_age_ms=int(settings.topic_refresh * 1000),
        )

    def go_on_at(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        """Seeks, in the thread; from then on batches of this epoch come."""
        self._ensure_consumer().seek(partition, offset)
        self._cursors[partition] = _Cursor(epoch, offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._cursors.clear()  # a rebalance takes all partitions away and gives some back
        await super().on_partitions_revoked(revoked)

    async def batches(
        self, wanted: Collection[TopicPartition], halted: Mapping[TopicPartition, int], room: int, patience: float
    ) -> list[Batch]:
        """The next batch of each wanted partition that has one, with or without records, as far as there is `room` (bytes).
        Waits for `patience` seconds if there is none. `halted` are partitions, with their epochs, of which nothing more is
        wanted.
        """
        return await self.call_thread(self._batches, wanted, halted, room, patience)  # type: ignore[no-any-return]

    async def _batches(
        self, wanted: Collection[TopicPartition], halted: Mapping[TopicPartition, int], room: int, patience: float
    ) -> list[Batch]:
        consumer = self._ensure_consumer()
        intake = self._intake = self._intake or Intake(self._settings, consumer)
        for partition, epoch in halted.items():
            if partition in self._cursors and self._cursors[partition].epoch == epoch:
                del self._cursors[partition]
        # The context tells aiokafka that we are not stuck, else it leaves the group.
        with consumer._fetcher._subscriptions.fetch_context():
            ahead = [partition for partition, cursor in self._cursors.items() if cursor.behind or partition in wanted]
            intake.fetch_for(self._cursors, ahead, room)
            batches = self._take(intake, wanted, room)
            if not batches:
                await intake.wait(patience if room > 0 else _BUSY_SECONDS)
                batches = self._take(intake, wanted, room)
        return batches

    def _take(self, intake: Intake, wanted: Collection[TopicPartition], room: int) -> list[Batch]:
        """One batch of each, of those first that were given one longest ago."""
        batches: list[Batch] = []
        if not self.consumer.flow_active or intake.reassigning:
            return batches
        for partition in [each for each in self._cursors if each in wanted and intake.has(each)]:
            if room <= 0:
                break
            try:
                records, size = intake.take(partition)
            except KafkaError as error:
                self._failed(partition, error)
                continue
            batches.append(self._batch(intake, partition, records, size))
            if records:
                self._cursors[partition] = cursor = self._cursors.pop(partition)
                cursor.behind = batches[-1].behind
                if not cursor.behind:
                    intake.rest(partition)
                room -= size
        return batches

    def _failed(self, partition: TopicPartition, error: KafkaError) -> None:
        match error:
            case OffsetOutOfRangeError():
                self._halt(partition, "out_of_range", "its position is not in the log any more: records expired before they "
                           "were masked, or the topic was made anew")  # fmt: skip
            case RecordTooLargeError():
                self._halt(partition, "unreadable", "its next record is larger than the broker hands out; raise "
                           "CDC_MASKER_FETCH_BYTES")  # fmt: skip
            case TopicAuthorizationFailedError():
                logger.error("the worker's Kafka user may not read topic %s; grant it Read", partition.topic)
            case NoOffsetForPartitionError():
                pass  # aiokafka looked for a committed offset before the lane said where to go on
            case _:
                raise error

    def _batch(self, intake: Intake, partition: TopicPartition, records: Sequence[Record], size: int) -> Batch:
        cursor = self._cursors[partition]
        start, end = cursor.position, intake.position(partition)
        if records:
            cursor.position = end
        return Batch(
            partition=partition,
            epoch=cursor.epoch,
            start=start,
            end=end,
            highwater=intake.highwater(partition),
            size=size,
            records=records,
        )

    def _halt(self, partition: TopicPartition, code: str, problem: str) -> None:
        del self._cursors[partition]
        self.parent_loop.call_soon_threadsafe(self.transport.lanes.halt, partition, code, problem)


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """The part of the consumer that lives in the main thread."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _lanes(self) -> Lanes:
        lanes: Lanes | None = self.transport.lanes
        assert lanes is not None  # the app sets it before the consumer starts
        return lanes

    # Assignment

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Faust's conductor asks for the topics of the actors it has now; what is to be read is known better."""
        await self.follow(self.transport.sources)

    async def follow(self, topics: frozenset[str]) -> None:
        """Reads these topics from now on."""
        self.transport.sources = topics
        if self._thread._consumer is not None and self._thread._consumer.subscription() != topics:
            await super().subscribe(topics)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        lanes = self._lanes.seal()  # first: nothing new begins while Faust stops its flow
        await super().on_partitions_revoked(revoked)
        await asyncio.gather(*(lane.close() for lane in lanes))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        if self.app.should_stop:
            return
        self._lanes.open([TopicPartition(*partition) for partition in assigned], self._go_on_at)

    def _go_on_at(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        self._thread.thread_loop.call_soon_threadsafe(self._thread.go_on_at, partition, offset, epoch)

    async def perform_seek(self) -> None:
        """Lanes seek, each when it is ready."""

    async def on_stop(self) -> None:
        if self.transport.lanes is not None:  # else the worker is stopped before it was ready to start
            await self.transport.lanes.close()
        await super().on_stop()

    # Records

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109  # Faust's signature
    ) -> Mapping[TP, list[Batch]]:
        lanes = self._lanes
        try:
            patience = timeout if lanes.idle else _BUSY_SECONDS
            batches = await self._thread.batches(lanes.hungry(), lanes.halted(), lanes.room, patience)
        except ConsumerStoppedError:
            raise  # the worker is stopping; Faust knows
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop("fetching", error)
        for batch in batches:
            lanes.fetched(batch)
        return {TP(*batch.partition): [batch] for batch in batches if batch.records}

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.end - 1,
            None,
            None,
            None,
            None,
            [record],  # whoever takes it out leaves nothing
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Offsets are committed in the transaction that publishes, never by Faust."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's watch for stuck partitions goes by commits that it never sees here; `consumer_lag` tells."""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Names the consumer to Faust, and knows what it works with. `lanes` is set before the consumer starts."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(app.conf.broker, app)
        self.settings = settings
        self.lanes: Lanes | None = None
        self.sources: frozenset[str] = frozenset()
