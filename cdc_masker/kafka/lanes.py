"""The source partitions that this worker has now, each as a lane: what is open for it and how far it has come.

A lane lives from one assignment to the next revocation. It opens in this order, which is what makes it exactly once:

1. make sure that the output has the partition, and that all of it is made with keys of one epoch;
2. start the publisher: that ends the work of every earlier one and settles its open transaction;
3. only then read the committed offset, decide where to go on, and wait for a policy at least as new;
4. compare the head of the audit chain, which is stored with the offset, with the audit's last row; rows that are still on their
   way are awaited while masking goes on;
5. seek there. From now on batches come in.

What always holds: a batch is published only when it starts exactly at the offset that the lane expects and comes from the
seek of this very assignment; any other is dropped unpublished (a late one) or ends the process (a gap: a bug). A lane that
can't go on is halted by itself, with the reason in the log and in the metrics, and the others go on. A transaction is never
cut by a revocation as long as the brokers answer within `_GRACE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker import evidence, metrics
from cdc_masker.errors import PolicyError, SetupError, TransientError, UnverifiedError
from cdc_masker.events import AuditEntry, Fate, Outcome, Record
from cdc_masker.kafka import steps
from cdc_masker.kafka.checkpoints import (
    Checkpoint,
    PartitionHalted,
    Resumption,
    check_epoch,
    check_head,
    halted_by_audit,
    halted_by_incarnation,
    resume,
)
from cdc_masker.kafka.failing import fail_stop
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Fenced, Publication, Publisher
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.subjects import Unconfirmed
from cdc_masker.policies import EMPTY
from cdc_masker.subjects import Log

__all__ = ["Batch", "Lane", "Lanes", "State"]

logger = logging.getLogger(__name__)

_DEPTH = 2  # batches of a lane in this process: one that is being masked or published, one that waits
_GRACE_SECONDS = 5.0
_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition: all that a `read_committed` reader sees from `start` to before `end`.

    `epoch` is the number of the assignment whose seek they come from, `size` about how many bytes they take.
    """

    partition: TopicPartition
    epoch: int
    start: int
    end: int
    highwater: int
    size: int
    records: tuple[Record, ...] = field(repr=False)


class State(Enum):
    OPENING = auto()
    RUNNING = auto()
    HALTED = auto()
    CLOSED = auto()


Seek = Callable[[TopicPartition, int, int], None]
"""Makes the consumer go on at (partition, offset) under the number of an epoch."""


class Lane:
    """One source partition during one assignment."""

    def __init__(self, parts: Parts, partition: TopicPartition, epoch: int, seek: Seek) -> None:
        self._parts = parts
        self._seek = seek
        self._log = PartitionLog(logger, partition.topic, partition.partition)
        self._publisher: Publisher | None = None
        self._work: asyncio.Task[None] | None = None
        self._comparing: asyncio.Task[None] | None = None
        self._largest = 0
        self._began = EMPTY
        self._halted: str | None = None
        self.partition = partition
        self.epoch = epoch
        self.state = State.OPENING
        self.incarnation = ""
        self.next = 0
        self.head = ""
        self.pending = 0
        self.held = 0
        self.highwater = 0
        self._opening = asyncio.create_task(self._open())

    def __str__(self) -> str:
        return f"{self.partition.topic}[{self.partition.partition}]"

    @property
    def hungry(self) -> bool:
        return self.state is State.RUNNING and self.pending < _DEPTH

    def progress(self) -> metrics.Progress:
        lag = max(self.highwater - self.next, 0)
        return metrics.Progress(
            self.partition.topic, self.partition.partition, lag, self._halted or self._parts.maskers.gate.closed
        )

    async def take(self, batch: Batch) -> None:
        """Masks and publishes a batch. It is finished even if the caller is cancelled, unless the lane is closed."""
        try:
            await self._parts.may_mask()
            if self.state is not State.RUNNING:
                return
            if batch.start != self.next:
                raise RuntimeError("a batch was lost on its way to the agent")
            self._work = asyncio.create_task(self._mask_and_publish(batch))
            await asyncio.shield(self._work)
        except asyncio.CancelledError:
            if self._work is None or not self._work.cancelled():  # else the lane was closed, and the caller goes on
                raise
        finally:
            self.pending -= 1
            self.held -= batch.size

    def halt(self, reason: PartitionHalted) -> None:
        """Stops this partition until somebody acts; the others go on."""
        if self.state in (State.OPENING, State.RUNNING):
            self.state, self._halted = State.HALTED, reason.code
            self._log.error("%s", reason, code=reason.code)

    async def close(self) -> None:
        """Finishes the batch that is being published, within a bound, and lets the partition go."""
        self.state = State.CLOSED
        self._opening.cancel()
        if self._comparing is not None:
            self._comparing.cancel()
        work = self._work
        if work is not None and not work.done():
            await asyncio.wait([work], timeout=_GRACE_SECONDS)
            if not work.done():
                self._log.warning("%s: the brokers don't answer; the next worker ends its transaction", self, offset=self.next)
                work.cancel()
                await asyncio.wait([work], timeout=_GRACE_SECONDS)  # it aborts, and needs its publisher for that
        with suppress(asyncio.CancelledError):
            await self._opening
        if self._publisher is not None:
            await self._publisher.stop()
        steps.reach(Step.CLOSED)

    # Opening

    async def _open(self) -> None:
        try:
            resumption = await self._resume()
            steps.reach(Step.POSITION_FOUND)
            while self._parts.maskers.policy.version < resumption.policy:
                self._log.warning("%s waits for policy version %d, which masked it last", self, resumption.policy)
                await self._parts.maskers.changed()
            self.next, self.head = resumption.offset, resumption.head
            self._seek(self.partition, self.next, self.epoch)
            self.state = State.RUNNING
            steps.reach(Step.SOUGHT)
            self._log.info("%s: masking from offset %d", self, self.next, offset=self.next)
        except asyncio.CancelledError:
            raise
        except PartitionHalted as reason:
            self.halt(reason)
        except (SetupError, PolicyError) as error:
            self.halt(PartitionHalted(self.partition.topic, self.partition.partition, "setup", str(error)))
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop(f"opening {self}", error, self._log.at())

    async def _resume(self) -> Resumption:
        """Steps 1 to 3, again and again while a server is away."""
        for seconds in _backoff():
            try:
                return await self._fence_and_find()
            except (KafkaError, TransientError, UnverifiedError, TimeoutError) as error:
                self._log.warning("%s can't be opened yet (%s); trying again", self, type(error).__name__)
                await asyncio.sleep(seconds)
        raise AssertionError("the back-off has no end")

    async def _fence_and_find(self) -> Resumption:
        parts, topic = self._parts, self.partition.topic
        generation = parts.settings.generation
        output = await parts.topics.ensure_output(topic)
        self._largest = output.largest
        began = (await parts.generations.register(generation, [topic], parts.maskers.policy))[topic]
        check_epoch(*self.partition, generation=generation, began=began.key_epoch, used=parts.maskers.policy.key_epoch)
        self._began = await parts.maskers.beginning(began.policy_version)
        parts.maskers.get(output.largest, self._began)  # so that rows which can't keep their shape halt it here
        if self._publisher is not None:
            await self._publisher.stop()
        steps.reach(Step.PREPARED)
        self._publisher = Publisher(parts.settings, self.partition, output)
        await asyncio.wait_for(self._publisher.start(), parts.settings.transaction_timeout)
        steps.reach(Step.FENCED)

        committed = (await parts.cluster.committed(parts.settings.group, [self.partition])).get(self.partition)
        self.incarnation = await self._topic_id()
        if committed is None:
            await parts.lag.settle()  # what was published before the fence is in PostgreSQL after this
        audited = await self._last_entry()
        masked_before = False
        if committed is None and audited is None:
            masked_before = await parts.cluster.has_records(TopicPartition(output.topic, self.partition.partition))
        earliest, end = await parts.cluster.bounds(self.partition)
        resumption = resume(
            *self.partition,
            incarnation=self.incarnation,
            committed=committed,
            audited=audited,
            masked_before=masked_before,
            earliest=earliest,
            end=end,
        )
        if not check_head(*self.partition, resumption=resumption, audited=audited):
            self._comparing = asyncio.create_task(self._compare_later(resumption))
        return resumption

    async def _last_entry(self) -> AuditEntry | None:
        return await self._parts.audit.last(self._parts.settings.generation, self.incarnation, *self.partition)

    async def _compare_later(self, resumption: Resumption) -> None:
        """Compares the audit with what was resumed from once all of it has arrived."""
        for seconds in _backoff():
            try:
                await self._parts.lag.settle()
                chain = self._parts.settings.generation, self.incarnation, self.partition.topic, self.partition.partition
                through = await self._parts.audit.ending_at(*chain, resumption.offset - 1)
                if not check_head(*self.partition, resumption=resumption, audited=through):
                    self.halt(halted_by_audit(*self.partition))
                return
            except PartitionHalted as reason:
                self.halt(reason)
                return
            except (KafkaError, TransientError) as error:
                self._log.warning("%s: the audit can't be compared yet (%s); trying again", self, type(error).__name__)
                await asyncio.sleep(seconds)
            except Exception as error:  # noqa: BLE001  # fail-stop
                fail_stop(f"comparing the audit of {self}", error, self._log.at())

    async def _topic_id(self) -> str:
        source = (await self._parts.topics.sources()).get(self.partition.topic)
        if source is None:
            raise TransientError(f"topic {self.partition.topic} is gone")
        return source.incarnation

    # Masking

    async def _mask_and_publish(self, batch: Batch) -> None:
        assert self._publisher is not None  # the lane runs
        started = time.perf_counter()
        steps.reach(Step.TAKEN)
        try:
            while (published := await self._attempt(batch, self._publisher)) is None:
                await self._parts.subjects.sure()
                await self._parts.may_mask()
        except Fenced:
            self._fenced()
            return
        except TimeoutError:
            seconds = self._parts.settings.transaction_timeout
            error = TransientError(f"Kafka did not end it within {seconds:g} s")
            fail_stop(f"publishing {self} from offset {batch.start}", error, self._log.at(batch.start))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop(f"masking {self} from offset {batch.start}", error, self._log.at(batch.start))
        outcomes, entry, self.head = published
        self.next = batch.end
        self._parts.maskers.look(outcomes)
        metrics.count(entry, seconds=time.perf_counter() - started)

    async def _attempt(self, batch: Batch, publisher: Publisher) -> tuple[list[Outcome], AuditEntry, str] | None:
        """Masks and publishes the batch under one policy; gives the entry's hash, too. None, and nothing was published, if the
        policy or a subject's key in it may not be used any more.
        """
        masker = self._parts.maskers.get(self._largest, self._began)
        log = Log(self.partition.topic, self.incarnation, self.partition.partition)
        with self._parts.subjects.batch(masker.policy.key_epoch, log, batch.end) as subjects:
            outcomes = await subjects.mask(masker, batch.records)
            self._parts.alarm.look(outcomes)
            steps.reach(Step.MASKED)
            entry = evidence.audit_entry(
                outcomes,
                start=batch.start,
                end=batch.end,
                previous=self.head,
                policy=masker.policy,
                shape_version=masker.shape_version,
                generation=self._parts.settings.generation,
                incarnation=self.incarnation,
                masked_at=time.time_ns() // 1_000_000,
                worker=self._parts.worker,
            )

            encoded = evidence.encode_entry(entry)
            head = evidence.entry_hash(encoded)
            publication = Publication(
                outcomes=outcomes,
                notes=[evidence.encode_note(note) for note in entry.notes if note.fate is Fate.QUARANTINED],
                entry=encoded,
                offset=batch.end,
                metadata=Checkpoint(head=head, policy=entry.policy_version, incarnation=entry.incarnation).encode(),
            )

            def confirm() -> None:
                self._parts.confirm()
                subjects.confirm()

            try:
                await publisher.publish(publication, confirm)
            except Unconfirmed as reason:
                self._log.warning("%s; it is masked again when the catalog was heard from", reason, offset=batch.start)
                return None
        return outcomes, entry, head

    def _fenced(self) -> None:
        """Another worker has this partition, so Kafka is about to revoke it here; if it does not, start anew."""
        if self.state is not State.RUNNING:
            return
        self.state, self._halted = State.HALTED, "fenced"
        self._log.warning("%s was taken over by another worker, which has this batch", self, offset=self.next, code="fenced")
        asyncio.get_running_loop().call_later(2 * self._parts.settings.session_timeout, self._still_ours)

    def _still_ours(self) -> None:
        if self.state is State.HALTED:
            error = TransientError("it was fenced, and is still assigned to this worker")
            fail_stop(str(self), error, self._log.at(code="fenced"))


class Lanes:
    """All lanes of this worker. `open` and `close` follow assignment and revocation."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes: dict[TopicPartition, Lane] = {}
        self._epoch = 0
        self.assigned = False

    @property
    def idle(self) -> bool:
        """Whether no lane is busy or about to begin, so that waiting for data of the hungry ones keeps nobody waiting."""
        return all(lane.hungry or lane.state is State.HALTED for lane in self._lanes.values())

    def progress(self) -> list[metrics.Progress]:
        """How far each of them has come."""
        return [lane.progress() for lane in self._lanes.values()]

    @property
    def settled(self) -> bool:
        """Whether there was an assignment and each of its lanes runs or is halted."""
        return self.assigned and all(lane.state is not State.OPENING for lane in self._lanes.values())

    def open(self, partitions: Iterable[TopicPartition], seek: Seek) -> None:
        """Begins to open lanes for a new assignment; each runs as soon as it can."""
        self._epoch += 1
        steps.reach(Step.ASSIGNED)
        for partition in partitions:
            self._lanes[partition] = Lane(self._parts, partition, self._epoch, seek)
        self.assigned = True

    def seal(self) -> list[Lane]:
        """Takes all lanes out at once, so that nothing new is taken; they still have to be closed."""
        lanes, self._lanes = list(self._lanes.values()), {}
        self.assigned = False
        steps.reach(Step.REVOKED)
        return lanes

    async def close(self) -> None:
        """Ends all lanes: each finishes what it publishes."""
        await asyncio.gather(*(lane.close() for lane in self.seal()))

    def hungry(self) -> list[TopicPartition]:
        """The partitions whose next batch should be fetched."""
        if not self._parts.masking:
            return []
        return [partition for partition, lane in self._lanes.items() if lane.hungry]

    def halted(self) -> dict[TopicPartition, int]:
        """The partitions of which nothing more is wanted, with the numbers of their epochs."""
        return {partition: lane.epoch for partition, lane in self._lanes.items() if lane.state is State.HALTED}

    @property
    def room(self) -> int:
        """Bytes of records that may be fetched, beside those that lanes hold; below 0 after large ones."""
        return self._parts.settings.buffer_bytes - sum(lane.held for lane in self._lanes.values())

    def fetched(self, batch: Batch) -> None:
        """Counts a batch as on its way to its lane."""
        lane = self._current(batch)
        if lane is not None:
            lane.pending += 1
            lane.held += batch.size
            lane.highwater = batch.highwater

    async def take(self, batch: Batch) -> None:
        """Masks and publishes a batch if it is of the present assignment, else drops it: it will come again."""
        lane = self._current(batch)
        if lane is None:
            metrics.STALE_BATCHES.inc()
            return
        await lane.take(batch)

    def halt(self, partition: TopicPartition, code: str, problem: str) -> None:
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.halt(PartitionHalted(partition.topic, partition.partition, code, problem))

    def check_incarnations(self, incarnations: dict[str, str]) -> None:
        """Halts the lanes of topics that are not what they were when the lane opened."""
        for lane in self._lanes.values():
            if lane.state is State.RUNNING and incarnations.get(lane.partition.topic) != lane.incarnation:
                lane.halt(halted_by_incarnation(*lane.partition))

    def _current(self, batch: Batch) -> Lane | None:
        lane = self._lanes.get(batch.partition)
        return lane if lane is not None and lane.epoch == batch.epoch else None


def _backoff() -> Iterable[float]:
    yield from _BACKOFF_SECONDS
    while True:
        yield _BACKOFF_SECONDS[-1]
