"""Where masking of a partition goes on, and what is stored with each committed offset so that this can be decided.

What always holds: a position comes from the committed offset, else from the audit, else it is the start of the replay or of
the topic; it is never moved because it doesn't fit. A position that is not in the log any more, or that belongs to an earlier
topic of the same name, halts the partition: going on would skip or repeat records without anybody knowing.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import head_of
from cdc_masker.kafka.batch import Span
from cdc_masker.kafka.wire import Committed

__all__ = [
    "LOST_RECORDS",
    "Checkpoint",
    "PartitionHalted",
    "Resumption",
    "check_epoch",
    "check_head",
    "halted_by_audit",
    "halted_by_incarnation",
    "position",
    "resume",
]

LOST_RECORDS = ("out_of_range", "other_incarnation")
"""Codes of partitions at which records were lost: what `cdc-masker offsets accept` is for."""

_ACCEPT = "cdc-masker offsets accept"


class PartitionHalted(SetupError):
    """This partition can't be masked until somebody acts; the others go on. `code` is for metrics."""

    def __init__(self, topic: str, partition: int, code: str, problem: str) -> None:
        super().__init__(f"{topic}[{partition}] is halted: {problem}")
        self.code = code


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is committed with an offset, in the same transaction.

    `policy` is the version that masked the last record, `incarnation` the id of the source topic, `head` the hash of the last
    audit entry.
    """

    v: int = 1
    head: str
    policy: int
    incarnation: str

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, metadata: str) -> Checkpoint | None:
        """The checkpoint in an offset's metadata, None when something else is there."""
        try:
            return msgspec.json.decode(metadata, type=cls)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None


@dataclass(frozen=True, slots=True)
class Resumption:
    """The next offset to mask, the policy version that must be loaded at least, and the hash of the last audit entry."""

    offset: int
    policy: int
    head: str

    @classmethod
    def after(cls, audited: AuditEntry) -> Resumption:
        """Behind the last entry of the audit."""
        return cls(audited.last_offset + 1, audited.policy_version, head_of(audited))


def resume(
    topic: str,
    partition: int,
    *,
    incarnation: str,
    committed: Committed | None,
    audited: AuditEntry | None,
    masked_before: bool,
    earliest: int,
    end: int,
    span: Span = Span(),  # noqa: B008  # it is frozen
) -> Resumption:
    """Decides where to go on in the log that holds the offsets from `earliest` to before `end`. `span` is what of it is to be
    masked; for the rest see `position`.
    """
    resumption = position(
        topic, partition, incarnation=incarnation, committed=committed, audited=audited, masked_before=masked_before
    )
    if resumption is None:
        start = earliest if span.start is None else span.start
        if not earliest <= start <= end and not span.ends(start):  # of which nothing is read, so it may have expired
            raise PartitionHalted(
                topic,
                partition,
                "out_of_range",
                f"its replay begins at offset {start}, but the log now holds {earliest} to {end}; cancel the replay, and begin "
                "another from what is there",
            )
        return Resumption(start, 0, "")
    if span.ends(resumption.offset):
        return resumption  # nothing more is read, so it may have expired
    if not earliest <= resumption.offset <= end:
        raise PartitionHalted(
            topic,
            partition,
            "out_of_range",
            f"masking got to offset {resumption.offset}, but the log now holds {earliest} to {end}; records between were "
            f"lost before they were masked: restore the topic, or have it on record with `{_ACCEPT}`",
        )
    return resumption


def position(
    topic: str,
    partition: int,
    *,
    incarnation: str,
    committed: Committed | None,
    audited: AuditEntry | None,
    masked_before: bool,
) -> Resumption | None:
    """How far masking of this incarnation came, None if it did not begin.

    `audited` is the last entry of this incarnation's chain in the audit, and `masked_before` tells whether the output
    partition holds records; both count only without a committed offset, which Kafka forgets when a group was idle for long
    or the topic was deleted. Raises `PartitionHalted`.
    """
    if committed is not None:
        checkpoint = Checkpoint.decode(committed.metadata)
        if checkpoint is None:
            raise PartitionHalted(
                topic,
                partition,
                "foreign_offset",
                f"its committed offset {committed.offset} was not written by cdc-masker; delete the offset, so that "
                "masking goes on after the last audited record",
            )
        if checkpoint.incarnation != incarnation:
            raise halted_by_incarnation(topic, partition)
        return Resumption(committed.offset, checkpoint.policy, checkpoint.head)
    if audited is not None:
        return Resumption.after(audited)
    if masked_before:
        # Neither the group nor the audit of this incarnation knows it, and yet somebody masked into this copy.
        raise halted_by_incarnation(topic, partition)
    return None


def check_head(topic: str, partition: int, *, resumption: Resumption, audited: AuditEntry | None) -> bool:
    """Whether the last entry in the audit is the one that the committed offset names; False: entries are still on their way.

    Raises `PartitionHalted` when it is another one: then the audit's rows or the committed offset were changed.
    """
    if audited is None:
        return not resumption.head
    if audited.last_offset < resumption.offset - 1:
        return False
    if audited.last_offset != resumption.offset - 1 or head_of(audited) != resumption.head:
        raise halted_by_audit(topic, partition)
    return True


def halted_by_audit(topic: str, partition: int) -> PartitionHalted:
    """The audit does not end as the committed offset says."""
    return PartitionHalted(
        topic,
        partition,
        "audit_mismatch",
        "the audit in the catalog does not end with the entry that the committed offset names: rows or the offset were changed "
        "or lost; `cdc-masker audit verify` says where, restore what it names",
    )


def halted_by_incarnation(topic: str, partition: int) -> PartitionHalted:
    """The topic was deleted and made anew, so its offsets mean other records than those that were masked."""
    return PartitionHalted(
        topic,
        partition,
        "other_incarnation",
        "the topic was deleted and made again since it was last masked; make a new copy of it under another CDC_MASKER_APP_ID "
        f"and CDC_MASKER_OUTPUT_PREFIX, or go on in the one that is there with `{_ACCEPT}`",
    )


def check_epoch(topic: str, partition: int, *, generation: int, began: int, used: int) -> None:
    """Raises `PartitionHalted` unless the keys in use are of the epoch that the topic's generation began under."""
    if began != used:
        raise PartitionHalted(
            topic,
            partition,
            "other_epoch",
            f"its generation {generation} was begun with keys of epoch {began}, and the policy in use has epoch {used}; mask "
            "topics whose generations began under different epochs with workers of their own, by CDC_MASKER_SOURCE_TOPICS, or "
            "begin a new generation of all of them with CDC_MASKER_GENERATION",
        )
