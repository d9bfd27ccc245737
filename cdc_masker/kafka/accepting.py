"""Accepts that records of a partition were lost before they were masked, so that masking goes on behind them.

1. Look where masking came to, and what the log holds now. Whoever decides sees that first.
2. Start the partition's publisher, as its worker would: that ends the work of every earlier one.
3. Look again: it has to be as it was shown.
4. Publish in one transaction: the entry that says so, and the offset at which masking goes on.

What always holds: only a partition at which masking can't go on is moved, never past a record that is still there. Where
records expired, the entry covers their offsets and the chain goes on. Where the topic was made anew, the entry closes the chain
of the old one, from where masking came to up to the last offset that Kafka knows, so that nothing can follow; the new one gets
a chain of its own from its first record on, and the same masked topic.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import TopicPartition

from cdc_masker import evidence
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.events import Acceptance, AuditEntry, Fate
from cdc_masker.kafka.auditing import AuditLag
from cdc_masker.kafka.checkpoints import Checkpoint, PartitionHalted, position, resume
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Publication, Publisher
from cdc_masker.kafka.topics import Topics
from cdc_masker.policies import Policy
from cdc_masker.ports import AuditStore
from cdc_masker.settings import Settings

__all__ = ["Accepting", "Loss", "can_go_on"]

_LAST_OFFSET = 2**63 - 1
_SETTLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost of a partition's log: from `first` to `last`, both included, of the topic with this incarnation.

    `head` is the hash of the last entry before that, `current` the incarnation of the topic as it is now, and `resume` the
    offset at which masking goes on.
    """

    incarnation: str
    first: int
    last: int
    head: str
    current: str
    resume: int

    def __str__(self) -> str:
        if self.incarnation == self.current:
            return f"offsets {self.first} to {self.last} are not in the log any more and were never masked"
        return (
            f"the topic was deleted and made again: whatever the old one ({self.incarnation}) held from offset {self.first} "
            f"on was never masked; the new one ({self.current}) is masked from offset {self.resume} on, into the same "
            "masked topic, behind what is there"
        )


class Accepting:
    """For one partition. `policy` is the newest of its generation's epoch."""

    def __init__(
        self, settings: Settings, cluster: Cluster, audit: AuditStore, policy: Policy, partition: TopicPartition
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._topics = Topics(cluster, settings)
        self._audit = audit
        self._policy = policy
        self._partition = partition
        self._name = f"{partition.topic}[{partition.partition}]"

    async def look(self) -> Loss:
        """What is lost now. Raises `SetupError` where masking can go on, or nothing can be accepted."""
        committed = (await self._cluster.committed(self._settings.group, [self._partition])).get(self._partition)
        source = (await self._topics.sources()).get(self._partition.topic)
        if source is None or self._partition.partition >= source.partitions:
            raise SetupError(
                f"{self._name} is not there, or CDC_MASKER_SOURCE_TOPICS does not match it; name one that is masked"
            )
        current, earliest, end = source.incarnation, *await self._cluster.bounds(self._partition)
        if committed is None:
            await self._settle()
        audited = await self._audit.last(self._settings.generation, current, *self._partition)
        before = None if committed is not None or audited is not None else await self._of_another(current)
        try:
            came = position(
                *self._partition, incarnation=current, committed=committed, audited=audited, masked_before=before is not None
            )
        except PartitionHalted as halted:
            if halted.code != "other_incarnation":
                raise
            old = None if committed is None else Checkpoint.decode(committed.metadata)
            if committed is not None and old is not None:
                return Loss(old.incarnation, committed.offset, _LAST_OFFSET, old.head, current, earliest)
            assert before is not None  # else nothing tells of another incarnation
            return Loss(before.incarnation, before.last_offset + 1, _LAST_OFFSET, evidence.head_of(before), current, earliest)
        if came is None and await self._cluster.has_records(self._output()):
            raise SetupError(
                f"{self._name} has a masked copy, and the audit in the catalog does not know of what; restore it, or make "
                "a new copy under another CDC_MASKER_APP_ID and CDC_MASKER_OUTPUT_PREFIX"
            )
        if came is None or earliest <= came.offset <= end:
            raise SetupError(f"{self._name} is not halted for lost records: masking can go on; nothing is to be accepted")
        if came.offset > end:
            raise SetupError(
                f"{self._name} was masked up to offset {came.offset}, and the log ends at {end}: the broker lost records that "
                "are in the masked copy, and new ones take their offsets; make a new copy under another CDC_MASKER_APP_ID and "
                "CDC_MASKER_OUTPUT_PREFIX"
            )
        return Loss(current, came.offset, earliest - 1, came.head, current, earliest)

    async def accept(self, loss: Loss, by: str, reason: str) -> AuditEntry:
        """Puts it on record and moves the partition on. Raises `SetupError` when it is not as it was shown any more."""
        publisher = Publisher(self._settings, self._partition, await self._topics.ensure_output(self._partition.topic))
        try:
            await asyncio.wait_for(publisher.start(), self._settings.transaction_timeout)
            if await self.look() != loss:
                raise SetupError(f"{self._name} is not as it was shown any more; nothing was accepted, look at it again")
            entry = self._entry(loss, by, reason)
            encoded = evidence.encode_entry(entry)
            anew = loss.incarnation != loss.current
            checkpoint = Checkpoint(
                head="" if anew else evidence.entry_hash(encoded), policy=self._policy.version, incarnation=loss.current
            )
            await publisher.publish(
                Publication(
                    rows=(),
                    notes=(),
                    entry=encoded,
                    timestamp=entry.masked_at,
                    offset=loss.resume,
                    metadata=checkpoint.encode(),
                ),
                confirm=_nothing,
            )
        finally:
            await publisher.stop()
        return entry

    def _entry(self, loss: Loss, by: str, reason: str) -> AuditEntry:
        anew = loss.incarnation != loss.current
        return AuditEntry(
            generation=self._settings.generation,
            incarnation=loss.incarnation,
            topic=self._partition.topic,
            partition=self._partition.partition,
            first_offset=loss.first,
            last_offset=loss.last,
            counts=dict.fromkeys(Fate, 0),
            root="",
            previous=loss.head,
            policy_version=self._policy.version,
            policy_digest=self._policy.digest,
            policy_seal=self._policy.seal,
            key_epoch=self._policy.key_epoch,
            masked_at=time.time_ns() // 1_000_000,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            program=evidence.PROGRAM,
            accepted=Acceptance(by=by, reason=reason, incarnation=loss.current if anew else None),
        )

    def _output(self) -> TopicPartition:
        return TopicPartition(self._settings.output_topic(self._partition.topic), self._partition.partition)

    async def _of_another(self, current: str) -> AuditEntry | None:
        """The last entry of the newest chain of another incarnation that none has closed."""
        place = (self._settings.generation, *self._partition)
        found = [
            each
            for each in await self._audit.last_of_each()
            if (each.generation, each.topic, each.partition) == place
            and each.incarnation != current
            and each.last_offset < _LAST_OFFSET
        ]
        return max(found, key=lambda each: each.masked_at, default=None)

    async def _settle(self) -> None:
        """Returns when all entries are in PostgreSQL: without a committed offset, only they tell where masking came to."""
        lag = AuditLag(self._settings, self._cluster)
        measuring = asyncio.create_task(lag.run())
        try:
            await asyncio.wait_for(lag.settle(), _SETTLE_SECONDS)
        except TimeoutError:
            raise TransientError(
                "audit entries are still on their way to PostgreSQL; start a worker, which copies them"
            ) from None
        finally:
            measuring.cancel()
            with suppress(asyncio.CancelledError):
                await measuring


async def can_go_on(parts: Parts, partition: TopicPartition) -> bool:
    """Whether the committed offset is one at which masking of the topic as it is now can go on. Raises as `Cluster` does."""
    committed = (await parts.cluster.committed(parts.settings.group, [partition])).get(partition)
    source = (await parts.topics.sources()).get(partition.topic)
    if committed is None or source is None:
        return False
    earliest, end = await parts.cluster.bounds(partition)
    try:
        resume(
            *partition,
            incarnation=source.incarnation,
            committed=committed,
            audited=None,
            masked_before=False,
            earliest=earliest,
            end=end,
        )
    except PartitionHalted:
        return False
    return True


def _nothing() -> None:
    """Nothing has to be confirmed."""
