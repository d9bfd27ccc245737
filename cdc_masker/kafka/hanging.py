"""Ends a transaction of which Kafka settled only a part, so that its partition can be masked again.

A broker that dies at the wrong moment can come back with a transaction whose records and audit entry it committed, while the
source offset in it stays pending: nobody may read that offset any more, and no coordinator knows of anything that is left to
do. Who has fenced the partition's transactional id may end it, with a transaction that moves the offset and nothing else: the
pending offset was stored under the same id, so that the end of the one is that of the other.

What always holds: the offset that is stored is the one after the last audit entry, with its hash. Each transaction of the
masker holds one entry, so a transaction was committed just if its entry can be read, which is said when all that was written to
the audit topic is settled; and a masked copy that holds more than that is left alone, and the partition halted.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from cdc_masker import evidence
from cdc_masker.errors import TransientError
from cdc_masker.events import AuditEntry
from cdc_masker.kafka.checkpoints import Checkpoint, halted_by_audit
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.origins import source_offset
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Publisher
from cdc_masker.kafka.topics import Output
from cdc_masker.kafka.wire import UnstableOffset

__all__ = ["after", "end_hanging", "last_masked"]

_HANGS = "%s[%d]: Kafka does not settle the transaction that holds its offset; it is ended when the audit is complete"


async def end_hanging(parts: Parts, partition: TopicPartition, publisher: Publisher, output: Output, log: PartitionLog) -> bool:
    """Ends what hangs at the partition that `publisher`, which was started, publishes for; False: nothing does.

    Raises `PartitionHalted` when the masked copy holds more than the audit tells, `TransientError` when that can't be said
    yet, and as `Publisher.move` does.
    """
    try:
        await parts.cluster.committed(parts.settings.group, [partition])
        return False
    except UnstableOffset:  # still, though `publisher` has settled what a coordinator knows of
        pass
    log.warning(_HANGS, *partition, code="unstable_offset")
    incarnation = await parts.topics.incarnation(partition.topic)
    await parts.lag.settle()  # what was committed before the fence is in PostgreSQL after this
    audited = await parts.audit.last(parts.settings.generation, incarnation, *partition)
    if audited is None:
        await publisher.move(0, "", commit=False)  # nothing was committed, so neither was the offset
        return True
    await last_masked(parts, partition, output, audited)
    await publisher.move(*after(audited), commit=True)
    return True


def after(audited: AuditEntry) -> tuple[int, str]:
    """The offset after an entry, and what is committed with it."""
    checkpoint = Checkpoint(head=evidence.head_of(audited), policy=audited.policy_version, incarnation=audited.incarnation)
    return audited.last_offset + 1, checkpoint.encode()


async def last_masked(parts: Parts, source: TopicPartition, output: Output, audited: AuditEntry) -> int | None:
    """The source offset of the last record in the masked copy; None if it is empty. Raises `PartitionHalted` when that is
    behind the last entry, `TransientError` when something there is in doubt.
    """
    masked = TopicPartition(output.topic, source.partition)
    _, visible = await parts.cluster.bounds(masked)
    if await parts.cluster.end(masked) != visible:
        raise TransientError("a transaction in the masked copy is not settled yet")
    last = await parts.cluster.last_record(masked)
    if last is None:
        return None
    offset = source_offset(last)
    if offset is None or offset > audited.last_offset:
        raise halted_by_audit(*source)
    return offset
