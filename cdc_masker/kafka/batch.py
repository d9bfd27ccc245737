"""What comes of a partition: batches of its records, and which of them belong to the generation that is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aiokafka import TopicPartition

from cdc_masker.events import Record

__all__ = ["Batch", "Span"]


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

    @property
    def behind(self) -> bool:
        """Whether more was there already when it was fetched."""
        return self.end < self.highwater


@dataclass(frozen=True, slots=True)
class Span:
    """The records from `start`, None is the earliest, to before `end`, None is whatever comes.

    Batches that begin before `pinned` are masked under the policy version of the replay.
    """

    start: int | None = None
    end: int | None = None
    pinned: int = 0

    def ends(self, came: int) -> bool:
        """Whether nothing is left when all before offset `came` is masked."""
        return self.end is not None and came >= self.end

    def cut(self, batch: Batch) -> Batch:
        """What of a batch belongs to it; that may be no record."""
        if self.end is None or batch.end <= self.end:
            return batch
        return replace(batch, end=self.end, records=[record for record in batch.records if record.offset < self.end])

    def lag(self, came: int, highwater: int) -> int:
        """How many offsets are left when all before `came` is masked."""
        return max((highwater if self.end is None else min(highwater, self.end)) - came, 0)
