"""What exactly once means for masked records, and for the entries of the audit that cover them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdc_masker.events import AuditEntry


@dataclass(frozen=True)
class Masked:
    """A record of a masked topic: where it came from, by its header, and what it holds."""

    partition: int
    source_partition: int
    offset: int
    policy: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def assert_exactly_once(masked: Iterable[Masked], expected: Mapping[int, int]) -> None:
    """Each offset of each source partition (`expected`: partition → number of records) once, in order, in its partition."""
    by_partition: dict[int, list[int]] = defaultdict(list)
    for record in masked:
        assert record.partition == record.source_partition
        by_partition[record.partition].append(record.offset)
    for partition, count in expected.items():
        offsets = by_partition.pop(partition, [])
        twice = [offset for offset, times in Counter(offsets).items() if times > 1]
        assert not twice, f"partition {partition}: {len(twice)} offsets are there twice, first {twice[:3]}"
        assert offsets == list(range(count)), f"partition {partition}: {len(offsets)} of {count}, or out of order"
    assert not by_partition


def assert_covered(entries: Iterable[AuditEntry], expected: Mapping[int, int]) -> None:
    """The audit covers each offset of each partition by exactly one entry."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for entry in entries:
        hidden = sum(last - first + 1 for first, last in entry.gaps)
        assert sum(entry.counts.values()) == entry.last_offset - entry.first_offset + 1 - hidden
        spans[entry.partition].append((entry.first_offset, entry.last_offset))
    for partition, count in expected.items():
        next_offset = 0
        for first, last in sorted(spans[partition]):
            assert first == next_offset, f"partition {partition}: a gap or an overlap at {next_offset}"
            next_offset = last + 1
        assert next_offset == count
