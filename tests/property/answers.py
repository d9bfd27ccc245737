"""A broker's answers as bytes, written after the protocol's own description: batches of format 2, and strategies for them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.record.util import calc_crc32c, encode_varint
from hypothesis import strategies as st

__all__ = [
    "ABORT",
    "ANSWERS",
    "COMMIT",
    "CONTROL",
    "HEADERS",
    "NUMBERS",
    "PARTS",
    "TRANSACTIONAL",
    "Answer",
    "Batch",
    "Item",
    "prefixed",
    "sealed",
    "transactions",
]

LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"


@dataclass(frozen=True)
class Item:
    """A record of a batch. `gap`: how many before it were compacted away; `later`: milliseconds after the batch's first."""

    gap: int
    later: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def encode(self, number: int) -> bytes:
        headers = b"".join(prefixed(name.encode()) + prefixed(value) for name, value in self.headers)
        parts = prefixed(self.key) + prefixed(self.value) + _number(len(self.headers)) + headers
        return prefixed(b"\0" + _number(self.later) + _number(number) + parts)


@dataclass(frozen=True)
class Batch:
    """`before` and `behind`: how many offsets in front of it and at its end were compacted away."""

    producer: int
    attributes: int
    items: tuple[Item, ...]
    before: int = 0
    behind: int = 0
    first_timestamp: int = 1_700_000_000_000
    max_timestamp: int = 1_700_000_000_500

    @property
    def numbers(self) -> list[int]:
        found: list[int] = []
        for item in self.items:
            found.append((found[-1] + 1 if found else 0) + item.gap)
        return found

    @property
    def last(self) -> int:
        return max([0, *self.numbers]) + self.behind

    def encode(self, base: int) -> bytes:
        """The bytes, of which the first is at the offset `base`."""
        times = (self.first_timestamp, self.max_timestamp)
        head = struct.pack(">hiqqqhii", self.attributes, self.last, *times, self.producer, 0, 7, len(self.items))
        items = b"".join(item.encode(number) for item, number in zip(self.items, self.numbers, strict=True))
        return sealed(struct.pack(">qiib", base, 0, 4, 2), head + items)


def sealed(head: bytes, content: bytes) -> bytes:
    """A batch with the right length and checksum. `head`: what stands before the checksum."""
    length = struct.pack(">i", len(head) + 4 + len(content) - 12)
    return head[:8] + length + head[12:] + struct.pack(">I", calc_crc32c(content)) + content


def _number(number: int) -> bytes:
    out = bytearray()
    encode_varint(number, out.append)
    return bytes(out)


def prefixed(content: bytes | None) -> bytes:
    return _number(-1) if content is None else _number(len(content)) + content


@dataclass(frozen=True)
class Answer:
    """What a broker gives: batches, bytes of one more, and producer ids and first offsets of aborted transactions."""

    batches: tuple[bytes, ...]
    cut_off: bytes
    offset: int
    aborted: tuple[tuple[int, int], ...]

    @property
    def raw(self) -> bytes:
        return b"".join(self.batches) + self.cut_off


def _answer(batches: Sequence[Batch], cut_off: bytes, offset: int, aborted: Sequence[tuple[int, int]]) -> Answer:
    """From the batch on that holds the offset, as a broker answers."""
    encoded, base = [], 0
    for batch in batches:
        base += batch.before
        if base + batch.last >= offset:
            encoded.append(batch.encode(base))
        base += batch.last + 1
    return Answer(tuple(encoded), cut_off, offset, tuple(aborted))


PARTS = st.none() | st.sampled_from([b"", b"x", b"\0\xff", b"y" * 63, b"z" * 64, b"w" * 9000])
NUMBERS = st.integers(0, 9) | st.integers(-(1 << 63), (1 << 63) - 1)
HEADERS = st.lists(st.tuples(st.sampled_from(["", "a", "é", "n" * 64]), PARTS), max_size=3).map(tuple)
_gap = st.sampled_from([0, 0, 0, 1, 70])
_items = st.lists(st.builds(Item, _gap, NUMBERS, PARTS, PARTS, HEADERS), max_size=4).map(tuple)
_producer = st.integers(1, 3)
_data = st.builds(
    Batch,
    _producer,
    st.sampled_from([0, LOG_APPEND_TIME, TRANSACTIONAL, TRANSACTIONAL, TRANSACTIONAL | LOG_APPEND_TIME, 0x40]),
    _items,
    before=_gap,
    behind=_gap,
    first_timestamp=NUMBERS,
    max_timestamp=NUMBERS,
)
_marker = st.sampled_from([ABORT, ABORT, COMMIT, ABORT + b"\1", b"\0\1\0\0", b"\0\0\0\2"])
_control = st.builds(
    lambda producer, attributes, key: Batch(producer, CONTROL | attributes, (Item(0, 0, key, b"\0\0\0\0\0\0"),)),
    _producer,
    st.sampled_from([TRANSACTIONAL, TRANSACTIONAL, 0]),
    _marker,
)
_cut_off = st.sampled_from([b"", b"\0", b"\0" * 11, Batch(1, 0, (Item(0, 0, b"k", b"v"),)).encode(900)[:-1]])
_offset = st.integers(0, 20)
_any = st.builds(
    _answer,
    st.lists(_data | _control, min_size=1, max_size=8),
    _cut_off,
    _offset,
    st.lists(st.tuples(_producer, st.integers(0, 30)), max_size=5),
)


def transactions(steps: list[tuple[int, bytes]], cut_off: bytes, offset: int) -> Answer:
    """Each step a producer and what it did: wrote a value, aborted, or committed. An offset each."""
    batches, open_, aborted = [], dict[int, int](), []
    for at, (producer, content) in enumerate(steps):
        if content not in (ABORT, COMMIT):
            batches.append(Batch(producer, TRANSACTIONAL, (Item(0, 0, None, content),)))
            open_.setdefault(producer, at)
            continue
        batches.append(Batch(producer, TRANSACTIONAL | CONTROL, (Item(0, 0, content, b""),)))
        first = open_.pop(producer, None)
        if content == ABORT and first is not None:
            aborted.append((producer, first))
    return _answer(batches, cut_off, offset, aborted)


_steps = st.lists(st.tuples(st.integers(1, 2), st.sampled_from([b"a", b"b", ABORT, COMMIT])), min_size=1, max_size=12)
ANSWERS = (_any | st.builds(transactions, _steps, _cut_off, st.integers(0, 4))).filter(lambda answer: answer.batches)
