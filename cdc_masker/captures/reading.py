"""The records of a capture, one after the other, and as the batches that are masked at once.

What always holds: a line that is none, or that can't be of a raw topic's log, ends the reading with its number; memory holds
no more than the batches that are not full yet, which have a bound in all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from cdc_masker.codecs.capture import CaptureError, decode_line
from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import Record

__all__ = ["CaptureReader", "LineError", "Partition", "Sizes", "batches", "partition_of", "size_of"]

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_FRAMING_BYTES = 100  # about what a record takes beside key, value and headers


class LineError(CdcMaskerError):
    """A line that is not what it has to be. The text tells file, line and what is wrong, and never what stood there."""

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(f"{name} line {line}: {problem}")
        self.line = line
        self.problem = problem


class Partition(NamedTuple):
    topic: str
    partition: int


class Sizes(NamedTuple):
    """Where batches end: most records and bytes of one, and most bytes of all that are not full yet."""

    records: int
    bytes: int
    buffer: int


def partition_of(record: Record) -> Partition:
    return Partition(record.topic, record.partition)


class CaptureReader:
    """The records of an open capture, read once. `bytes` and `records` tell how far it has come.

    `refused` tells of topics that are no raw ones. Raises `LineError` for a line that is no capture line or not of a raw topic,
    and where the offsets of a partition don't ascend.
    """

    def __init__(self, name: str, lines: BinaryIO, refused: Callable[[str], bool]) -> None:
        self._name = name
        self._lines = lines
        self._refused = refused
        self.bytes = 0
        self.records = 0

    def __iter__(self) -> Iterator[Record]:
        last: dict[Partition, int] = {}
        for number, line in enumerate(self._lines, start=1):
            try:
                record = decode_line(line)
            except CaptureError as error:
                raise LineError(self._name, number, str(error)) from None
            where = partition_of(record)
            before = last.get(where)
            if before is None:
                self._check(number, record.topic)
            elif record.offset <= before:
                problem = f"offset {record.offset} of partition {record.partition} comes after {before}; a capture has each "
                raise LineError(self._name, number, f"{problem}partition's records once, and in their order")
            last[where] = record.offset
            self.bytes += len(line)
            self.records += 1
            yield record

    def _check(self, number: int, topic: str) -> None:
        if not _TOPIC.fullmatch(topic):
            raise LineError(self._name, number, "the topic has no name that Kafka takes")
        if self._refused(topic):
            raise LineError(self._name, number, "the record is of a topic that cdc-masker writes; capture raw topics")


def batches(records: Iterable[Record], sizes: Sizes) -> Iterator[list[Record]]:
    """The same records in batches: each has consecutive ones of one partition, in their order."""
    waiting: defaultdict[Partition, list[Record]] = defaultdict(list)
    held: defaultdict[Partition, int] = defaultdict(int)
    total = 0
    for record in records:
        where, size = partition_of(record), size_of(record)
        waiting[where].append(record)
        held[where] += size
        total += size
        if len(waiting[where]) < sizes.records and held[where] < sizes.bytes:
            if total < sizes.buffer:
                continue
            where = max(held, key=held.__getitem__)
        total -= held.pop(where)
        yield waiting.pop(where)
    yield from waiting.values()


def size_of(record: Record) -> int:
    """About how many bytes it takes."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _FRAMING_BYTES
