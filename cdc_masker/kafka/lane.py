"""A source partition that this worker has now, as a lane: what is open for it and how far it has come.

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
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker import evidence, metrics
from cdc_masker.batches import MaskedBatch
from cdc_masker.errors import PolicyError, SetupError, TransientError
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.kafka import steps
from cdc_masker.kafka.batch import Batch, Span
from cdc_masker.kafka.checkpoints import LOST_RECORDS, Checkpoint, PartitionHalted
from cdc_masker.kafka.failing import fail_stop
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.opening import Opened, compare_later, open_partition
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Fenced, Publication, told
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.subjects import Unconfirmed
from cdc_masker.subjects import Log

__all__ = ["Lane", "Seek", "State"]

logger = logging.getLogger(__name__)

_DEPTH = 2  # batches of a lane that is behind: one that is being masked or published, one that waits
_WAITS = (
    "%s waits for policy version %d, which masked it last, and the newest is %d; restore the catalog, or release what it lost "
    "again with `cdc-masker db upgrade`"
)
_GRACE_SECONDS = 5.0


class State(Enum):
    OPENING = auto()
    RUNNING = auto()
    HALTED = auto()
    DONE = auto()
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
        self._done: str | None = None
        self._span = Span()
        self.partition = partition
        self.epoch = epoch
        self.state = State.OPENING
        self.next = 0
        self.head = ""
        self.pending = 0
        self.held = 0
        self.highwater = 0
        self.behind = True
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
        return self.state is State.RUNNING and self.pending < (_DEPTH if self.behind else 1)

    @property
    def resting(self) -> bool:
        """Whether nothing more is wanted for it."""
        return self.state in (State.HALTED, State.DONE)

    @property
    def lost_records(self) -> bool:
        """Whether it is halted because records were lost, which somebody may accept."""
        return self.state is State.HALTED and self._halted in LOST_RECORDS

    def progress(self) -> metrics.Progress:
        lag = 0 if self._done else self._span.lag(self._came, self.highwater)
        waits_for = self._halted or self._parts.waits_for
        return metrics.Progress(self.partition.topic, self.partition.partition, lag, waits_for, self._done)

    @property
    def _came(self) -> int:
        """Up to which offset all is masked: markers and aborted records are nothing to mask."""
        start, end = self.empty
        return end if start == self.next else self.next

    async def opened(self) -> None:
        """Returns when it runs, or nothing is wanted for it."""
        await asyncio.wait([self._opening])

    async def take(self, batch: Batch) -> None:
        """Masks and publishes a batch. It is finished even if the caller is cancelled, unless the lane is closed."""
        try:
            await self._parts.may_mask()
            if self.state is not State.RUNNING:
                return
            if batch.start != self.next:
                raise RuntimeError("a batch was lost on its way to the agent")
            wanted = self._span.cut(batch)
            if wanted.records:
                self._work = asyncio.create_task(self._mask_and_publish(wanted))
                await asyncio.shield(self._work)
            self.saw_none(wanted.end if wanted.records else wanted.start, wanted.end)
        except asyncio.CancelledError:
            if self._work is None or not self._work.cancelled():  # else the lane was closed, and the caller goes on
                raise
        finally:
            self.pending -= 1
            self.held -= batch.size

    def halt(self, reason: PartitionHalted) -> None:
        """Stops this partition until somebody acts; the others go on."""
        if self.state not in (State.HALTED, State.CLOSED):
            self.state, self._halted = State.HALTED, reason.code
            self._log.error("%s", reason, code=reason.code)

    def saw_none(self, start: int, end: int) -> None:
        """There are no records from offset `start` to before `end` that are to be masked."""
        self.empty = start, end
        if self.state is State.RUNNING and self._span.ends(self._came):
            self.end("bound", "its replay ends here")

    def end(self, code: str, why: str) -> None:
        """Masks nothing more, for good."""
        if self.state not in (State.DONE, State.CLOSED):
            self.state, self._done, self._halted = State.DONE, code, None
            self._opening.cancel()
            self._log.info("%s is done: %s", self, why, offset=self.next, code=code)

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
            resumption, self._span = opened.resumption, opened.span
            if not opened.compared:
                self._comparing = asyncio.create_task(self._compare(opened))
            steps.reach(Step.POSITION_FOUND)
            while (newest := self._parts.maskers.policy.version) < resumption.policy:
                self._log.warning(_WAITS, self, resumption.policy, newest)
                await self._parts.maskers.changed()
            if self.state is not State.OPENING:  # it was halted meanwhile: the audit does not fit
                return
            self.next, self.head = resumption.offset, resumption.head
            self.state = State.RUNNING
            self.saw_none(self.next, self.next)
            if self.resting:
                return
            self.seek(self.partition, self.next, self.epoch)
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
        masker = self._parts.maskers.get(opened.largest, opened.began, pinned=batch.start < self._span.pinned)
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
