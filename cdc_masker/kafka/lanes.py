"""The source partitions that this worker has now, each as a lane: what is open for it and how far it has come.

A lane lives from one assignment to the next revocation. It opens as `kafka.opening` tells, and then seeks to where it has to go
on: from then on batches come in.

What always holds: a batch is published only when it starts exactly at the offset that the lane expects and comes from the
seek of this very assignment; any other is dropped unpublished (a late one) or ends the process (a gap: a bug). A lane that
can't go on is halted by itself, with the reason in the log and in the metrics, and the others go on. A transaction is never
cut by a revocation as long as the brokers answer within `_GRACE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker import evidence, metrics
from cdc_masker.batches import MaskedBatch
from cdc_masker.errors import PolicyError, SetupError, TransientError
from cdc_masker.events import AuditEntry, Fate, Record
from cdc_masker.kafka import steps
from cdc_masker.kafka.accepting import can_go_on
from cdc_masker.kafka.checkpoints import LOST_RECORDS, Checkpoint, PartitionHalted, halted_by_incarnation
from cdc_masker.kafka.failing import fail_stop
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.opening import Opened, compare_later, open_partition
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Fenced, Publication, told
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.subjects import Unconfirmed
from cdc_masker.subjects import Log

__all__ = ["Batch", "Lane", "Lanes", "State"]

logger = logging.getLogger(__name__)

_DEPTH = 2  # batches of a lane in this process: one that is being masked or published, one that waits
_WAITS = (
    "%s waits for policy version %d, which masked it last, and the newest is %d; restore the catalog, or release what it lost "
    "again with `cdc-masker db upgrade`"
)
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition: all that a `read_committed` reader sees from `start` to before `end`.

    `epoch` is the number of the assignment whose seek they come from, `size` about how many bytes they take. A batch without
    records tells that there are none, and the next one starts where it does.
    """

    partition: TopicPartition
    epoch: int
    start: int
    end: int
    highwater: int
    size: int
    records: Sequence[Record] = field(repr=False)


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
        self.seek = seek
        self._log = PartitionLog(logger, partition.topic, partition.partition)
        self._opened: Opened | None = None
        self._work: asyncio.Task[None] | None = None
        self._comparing: asyncio.Task[None] | None = None
        self._halted: str | None = None
        self.partition = partition
        self.epoch = epoch
        self.state = State.OPENING
        self.next = 0
        self.head = ""
        self.pending = 0
        self.held = 0
        self.highwater = 0
        self.empty = (0, 0)
        self._opening = asyncio.create_task(self._open())

    def __str__(self) -> str:
        return f"{self.partition.topic}[{self.partition.partition}]"

    @property
    def incarnation(self) -> str:
        """The id of the source topic when the lane opened."""
        return "" if self._opened is None else self._opened.incarnation

    @property
    def hungry(self) -> bool:
        return self.state is State.RUNNING and self.pending < _DEPTH

    @property
    def lost_records(self) -> bool:
        """Whether it is halted because records were lost, which somebody may accept."""
        return self.state is State.HALTED and self._halted in LOST_RECORDS

    def progress(self) -> metrics.Progress:
        start, end = self.empty
        came = end if start == self.next else self.next  # markers and aborted records are nothing to mask
        lag = max(self.highwater - came, 0)
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
        if self._opened is not None:
            await self._opened.publisher.stop()
        steps.reach(Step.CLOSED)

    # Opening

    async def _open(self) -> None:
        try:
            self._opened = opened = await open_partition(self._parts, self.partition, self._log)
            resumption = opened.resumption
            if not opened.compared:
                self._comparing = asyncio.create_task(self._compare(opened))
            steps.reach(Step.POSITION_FOUND)
            while (newest := self._parts.maskers.policy.version) < resumption.policy:
                self._log.warning(_WAITS, self, resumption.policy, newest)
                await self._parts.maskers.changed()
            if self.state is not State.OPENING:  # it was halted meanwhile: the audit does not fit
                return
            self.next, self.head = resumption.offset, resumption.head
            self.seek(self.partition, self.next, self.epoch)
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

    async def _compare(self, opened: Opened) -> None:
        try:
            await compare_later(self._parts, self.partition, opened, self._log)
        except PartitionHalted as reason:
            self.halt(reason)
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop(f"comparing the audit of {self}", error, self._log.at())

    # Masking

    async def _mask_and_publish(self, batch: Batch) -> None:
        assert self._opened is not None  # the lane runs
        started = time.perf_counter()
        steps.reach(Step.TAKEN)
        try:
            while (published := await self._attempt(batch, self._opened)) is None:
                await self._parts.subjects.sure()
                await self._parts.may_mask()
        except Fenced:
            self._fenced()
            return
        except TimeoutError:
            seconds = self._parts.settings.transaction_timeout
            error = TransientError(f"Kafka did not end it within {seconds:g} s")
            fail_stop(f"publishing {self} from offset {batch.start}", error, self._log.at(batch.start))
        except KafkaError as error:
            fail_stop(f"publishing {self} from offset {batch.start}", told(error), self._log.at(batch.start))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # fail-stop
            fail_stop(f"masking {self} from offset {batch.start}", error, self._log.at(batch.start))
        masked, entry, self.head = published
        self.next = batch.end
        self._parts.maskers.look(self.partition.topic, masked)
        metrics.count(entry, seconds=time.perf_counter() - started)

    async def _attempt(self, batch: Batch, opened: Opened) -> tuple[MaskedBatch, AuditEntry, str] | None:
        """Masks and publishes the batch under one policy; gives the entry's hash, too. None, and nothing was published, if the
        policy or a subject's key in it may not be used any more.
        """
        masker = self._parts.maskers.get(opened.largest, opened.began)
        log = Log(self.partition.topic, self.incarnation, self.partition.partition)
        with self._parts.subjects.batch(masker.policy.key_epoch, log, batch.end) as subjects:
            masked = await subjects.mask(masker, batch.records)
            self._parts.alarm.look(masked)
            steps.reach(Step.MASKED)
            entry = evidence.audit_entry(
                masked,
                topic=self.partition.topic,
                partition=self.partition.partition,
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
                rows=masked.rows,
                notes=[evidence.encode_note(note) for note in entry.notes if note.fate is Fate.QUARANTINED],
                entry=encoded,
                timestamp=batch.records[-1].timestamp,
                offset=batch.end,
                metadata=Checkpoint(head=head, policy=entry.policy_version, incarnation=entry.incarnation).encode(),
            )

            def confirm() -> None:
                self._parts.confirm()
                subjects.confirm()

            try:
                await opened.publisher.publish(publication, confirm)
            except Unconfirmed as reason:
                self._log.warning("%s; it is masked again when the catalog was heard from", reason, offset=batch.start)
                return None
        return masked, entry, head

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
        """Counts a batch as on its way to its lane, if there are records in it."""
        lane = self._current(batch)
        if lane is None:
            return
        lane.highwater = batch.highwater
        if batch.records:
            lane.pending += 1
            lane.held += batch.size
        else:
            lane.empty = batch.start, batch.end

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

    async def reopen(self) -> None:
        """Opens lanes anew that were halted for lost records, once somebody accepted that or the records are there again."""
        for partition, lane in list(self._lanes.items()):
            if lane.lost_records and await can_go_on(self._parts, partition) and self._lanes.get(partition) is lane:
                self._epoch += 1
                self._lanes[partition] = Lane(self._parts, partition, self._epoch, lane.seek)
                await lane.close()

    def _current(self, batch: Batch) -> Lane | None:
        lane = self._lanes.get(batch.partition)
        return lane if lane is not None and lane.epoch == batch.epoch else None
