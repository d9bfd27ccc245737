"""Masks batches of a capture into lines: masked records as capture lines, and audit entries as `audit export` writes them.

The entries are those that a worker writes: one for each batch, chained per partition from the capture's first record of it on.
What always holds: the masked records of an entry stand together, in their order, so a part of one file stands for a part of the
other; both are the same whatever else the capture holds, but for where batches end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cdc_masker import evidence
from cdc_masker.batches import MaskedBatch
from cdc_masker.captures.manifests import CAPTURE, Making
from cdc_masker.captures.reading import Partition, partition_of
from cdc_masker.codecs.capture import encode_line
from cdc_masker.events import AuditEntry, Fate, Record, output_topic
from cdc_masker.exports import Run
from cdc_masker.heads import Chain
from cdc_masker.kafka.alarm import GuardAlarm
from cdc_masker.pipeline import Masker

__all__ = ["Replayed", "Replayer"]

Write = Callable[[bytes], object]


@dataclass(slots=True)
class Replayed:
    """How far one partition has come. `published` counts its masked records, which is where the next one stands."""

    chain: Chain
    first_offset: int
    next: int
    head: str = ""
    entries: int = 0
    published: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)

    def run(self) -> Run:
        return Run(
            **self.chain._asdict(),
            first_offset=self.first_offset,
            last_offset=self.next - 1,
            previous="",
            head=self.head,
            entries=self.entries,
        )


class Replayer:
    """Masks one batch after the other. `masked` and `audit` take lines, `worker` is who the entries name."""

    def __init__(self, masker: Masker, making: Making, alarm: GuardAlarm, worker: str, *, masked: Write, audit: Write) -> None:
        self._masker = masker
        self._making = making
        self._alarm = alarm
        self._worker = worker
        self._masked = masked
        self._audit = audit
        self.partitions: dict[Partition, Replayed] = {}

    def replay(self, records: Sequence[Record]) -> None:
        """Masks a batch. Raises `PolicyError` when the egress guard finds too much."""
        batch = self._masker.mask_batch(records)
        self._alarm.look(batch)
        self._write(self._at(records[0]), batch, end=records[-1].offset + 1)

    def _at(self, record: Record) -> Replayed:
        where = partition_of(record)
        if where not in self.partitions:
            chain = Chain(self._making.generation, *where, CAPTURE)
            self.partitions[where] = Replayed(chain, record.offset, record.offset)
        return self.partitions[where]

    def _write(self, at: Replayed, batch: MaskedBatch, end: int) -> None:
        target = output_topic(self._making.output_prefix, at.chain.topic, self._making.generation)
        for place, (timestamp, key, value, headers) in enumerate(batch.rows, start=at.published):
            made = Record(target, at.chain.partition, place, timestamp, key, value, tuple(headers))
            self._masked(encode_line(made) + b"\n")
        entry = self._entry(at, batch, end)
        encoded = evidence.encode_entry(entry)
        self._audit(encoded + b"\n")
        at.next, at.head = end, evidence.entry_hash(encoded)
        at.entries += 1
        at.published += len(batch.rows)
        at.fates.update(batch.fates)

    def _entry(self, at: Replayed, batch: MaskedBatch, end: int) -> AuditEntry:
        return evidence.audit_entry(
            batch,
            topic=at.chain.topic,
            partition=at.chain.partition,
            start=at.next,
            end=end,
            previous=at.head,
            policy=self._masker.policy,
            generation=self._making.generation,
            incarnation=at.chain.incarnation,
            masked_at=time.time_ns() // 1_000_000,
            worker=self._worker,
        )
