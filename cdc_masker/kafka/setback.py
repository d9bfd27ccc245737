"""Goes on after the last audit entry, where the brokers give an offset that was committed before.

A group's coordinator that died and loaded its log anew can come back with offsets that are older than the last ones in that
log. To mask from there would publish records a second time. But records, entry and offset are in one transaction, so the
entries that follow the offset tell how far masking came.

What always holds: that is believed only if the offset names an entry of this very chain, and the audit's last entry follows
the one before it and is borne out by the masked copy, which ends with the last record of that entry: rows that somebody
added would have records passed over, and the partition is halted for them.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from cdc_masker.events import AuditEntry
from cdc_masker.evidence import head_of
from cdc_masker.kafka.checkpoints import Resumption, halted_by_audit
from cdc_masker.kafka.hanging import after, last_masked
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Publisher
from cdc_masker.kafka.topics import Output

__all__ = ["pass_over"]

_SET_BACK = (
    "%s[%d]: the committed offset is %d again, and batches up to offset %d were published since; masking goes on after these. "
    "Brokers that were killed can lose offsets; whoever set it back needs a new generation"
)


async def pass_over(
    parts: Parts,
    partition: TopicPartition,
    incarnation: str,
    publisher: Publisher,
    output: Output,
    resumption: Resumption,
    log: PartitionLog,
) -> Resumption:
    """Where to go on instead, which is committed, too. `publisher` was started, so nobody publishes for the partition.

    Raises `PartitionHalted` unless audit and masked copy agree on it, and as `Publisher.move` does.
    """
    chain = parts.settings.generation, incarnation, partition.topic, partition.partition
    await parts.lag.settle()  # what was committed before the fence is in PostgreSQL after this
    named = await parts.audit.ending_at(*chain, resumption.offset - 1)
    audited = await parts.audit.last(*chain)
    if named is None or audited is None or head_of(named) != resumption.head:
        raise halted_by_audit(*partition)
    before = await parts.audit.ending_at(*chain, audited.first_offset - 1)
    if before is None or head_of(before) != audited.previous:
        raise halted_by_audit(*partition)
    masked = await last_masked(parts, partition, output, audited)
    if masked is None or masked != _last_published(audited):
        raise halted_by_audit(*partition)
    log.warning(_SET_BACK, *partition, resumption.offset, audited.last_offset, code="offset_set_back")
    await publisher.move(*after(audited), commit=True)
    return Resumption.after(audited)


def _last_published(audited: AuditEntry) -> int | None:
    """The offset of the batch's last record in the masked copy: the last one that is in no gap and has no note."""
    gaps = {last: first for first, last in audited.gaps}
    noted = {note.offset for note in audited.notes}
    offset = audited.last_offset
    while offset in gaps or offset in noted:
        offset = gaps.get(offset, offset) - 1
    return offset if offset >= audited.first_offset else None
