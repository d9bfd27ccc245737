"""The compiled core reads Kafka's batches as aiokafka does, or leaves them to it, and writes the bytes that aiokafka writes."""

from __future__ import annotations

import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from cdc_masker_native import Fetched, Records, Rows
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cdc_masker.batches import Row
from cdc_masker.events import Record
from tests.property.answers import (
    ABORT,
    ANSWERS,
    COMMIT,
    CONTROL,
    HEADERS,
    NUMBERS,
    PARTS,
    TRANSACTIONAL,
    Answer,
    Batch,
    Item,
    prefixed,
    sealed,
    transactions,
)

PLACE = TopicPartition("shop.crm.customers", 3)
RECORD_BYTES = 500
ALL = 1 << 40
SECRET = "".join(map(chr, range(0x61, 0x71)))

many = settings(max_examples=200)

# Reading


def _read(raw: bytes, offset: int, aborted: Sequence[tuple[int, int]] = ()) -> Fetched | None:
    return Fetched.read(raw, PLACE.topic, PLACE.partition, offset, [*aborted], Record)


class Reference:
    """aiokafka's own reading, taken as `cdc_masker.kafka.intake` takes it."""

    def __init__(self, raw: bytes, offset: int, aborted: Sequence[tuple[int, int]]) -> None:
        self.more = True
        self._parts = PartitionRecords(PLACE, MemoryRecords(raw), aborted, offset, None, None, True, READ_COMMITTED)

    @property
    def position(self) -> int:
        position: int = self._parts.next_fetch_offset
        return position

    def take(self, most_records: int, most_bytes: int) -> tuple[list[Record], int]:
        records: list[Record] = []
        size = 0
        for each in self._parts:
            records.append(
                Record(PLACE.topic, PLACE.partition, each.offset, each.timestamp, each.key, each.value, each.headers)
            )
            parts = [each.key, each.value, *(part for name, value in each.headers for part in (name.encode(), value))]
            size += RECORD_BYTES + sum(len(part or b"") for part in parts)
            if len(records) >= most_records or size >= most_bytes:
                break
        else:
            self.more = False
        return records, size


def _check(fetched: Fetched, reference: Reference, limits: Iterator[tuple[int, int]]) -> None:
    """Takes all there is of both."""
    assert (fetched.position, fetched.more) == (reference.position, True)
    while fetched.more:
        here = next(limits, (ALL, ALL))
        (records, size), expected = fetched.take(*here, RECORD_BYTES), reference.take(*here)
        assert ([*records], size) == expected
        assert (fetched.position, fetched.more) == (reference.position, reference.more)
    records, size = fetched.take(1, 1, RECORD_BYTES)
    assert (len(records), size, fetched.position, fetched.more) == (0, 0, reference.position, False)


_limits = st.tuples(st.integers(0, 5), st.sampled_from([0, RECORD_BYTES, 2 * RECORD_BYTES + 1, 10_000, ALL]))


@many
@given(ANSWERS, st.lists(_limits, max_size=8))
def test_an_answer_is_read_as_aiokafka_reads_it(answer: Answer, limits: list[tuple[int, int]]) -> None:
    fetched = _read(answer.raw, answer.offset, answer.aborted)
    assert fetched is not None
    _check(fetched, Reference(answer.raw, answer.offset, answer.aborted), iter(limits))


def _check_or_none(raw: bytes, offset: int, aborted: Sequence[tuple[int, int]]) -> bool:
    """Whether it was read."""
    fetched = _read(raw, offset, aborted)
    if fetched is not None:
        _check(fetched, Reference(raw, offset, aborted), iter([]))
    return fetched is not None


def _edited(content: bytes, at: int, gone: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + gone :]


_place = st.integers(0, 1 << 16)
_gone = st.integers(0, 2)
_new = st.binary(max_size=2) | st.sampled_from([b"\x01", b"\x7f", b"\x80", b"\xff", b"\x80\x00", b"\xff" * 9 + b"\x01"])


@many
@given(ANSWERS, _place, _gone, _new, st.booleans())
def test_a_damaged_answer_is_read_as_aiokafka_reads_it_or_left_to_it(
    answer: Answer, place: int, gone: int, new: bytes, mended: bool
) -> None:
    """Bytes changed, put in and taken out, with the checksum and length of before, or with right ones."""
    raw = answer.raw
    if mended:
        start, batch, end = _one_of(answer, place)
        content = batch[21:]
        raw = start + sealed(batch[:17], _edited(content, place % len(content), gone, new)) + end
    else:
        raw = _edited(raw, place % len(raw), gone, new)
    _check_or_none(raw, answer.offset, answer.aborted)


def _one_of(answer: Answer, number: int) -> tuple[bytes, bytes, bytes]:
    """A batch of it, and what stands before and behind."""
    at = number % len(answer.batches)
    return b"".join(answer.batches[:at]), answer.batches[at], b"".join(answer.batches[at + 1 :]) + answer.cut_off


SMALL = Batch(7, 0, (Item(0, 0, b"k", b"v", (("h", b"x"), ("é", None))), Item(1, 70, None, b"w")), behind=1).encode(40)
BYTES = [bytes([number]) for number in range(256)]


def test_every_change_of_a_byte_is_noticed() -> None:
    """But for those of the base offset and of the leader's epoch, which the checksum leaves out: both read them alike."""
    read = set()
    for at in range(len(SMALL)):
        for new in BYTES:
            if new != SMALL[at : at + 1] and _check_or_none(_edited(SMALL, at, 1, new), 40, ()):
                read.add(at)
    assert read == {*range(8), *range(12, 16)}


def test_every_change_with_a_right_checksum_is_read_as_aiokafka_reads_it_or_left_to_it() -> None:
    """Each byte changed to any other, taken out, and put in front of: lengths, counts, deltas and names that are wrong."""
    content, read = SMALL[21:], 0
    for at in range(len(content)):
        for gone, new in [(1, b""), *((gone, new) for new in BYTES for gone in (0, 1))]:
            read += _check_or_none(sealed(SMALL[:17], _edited(content, at, gone, new)), 40, ())
    assert read > 1000


@many
@given(st.binary(max_size=100), st.integers(0, 1 << 62))
def test_anything_else_is_left_to_aiokafka(raw: bytes, offset: int) -> None:
    assert _read(raw, offset) is None
    content = struct.pack(">hiqqqhii", 0, 0, 0, 0, 0, 0, 0, 1) + raw
    _check_or_none(sealed(struct.pack(">qiib", offset, 0, 0, 2), content), offset, ())


@pytest.mark.parametrize("compression", range(1, 8))
def test_compressed_batches_are_left_to_aiokafka(compression: int) -> None:
    items = (Item(0, 0, b"k", b"v"),)
    plain, compressed = Batch(1, 0, items).encode(0), Batch(1, compression, items).encode(1)
    assert _read(plain, 0) is not None
    assert _read(plain + compressed, 0) is None


@pytest.mark.parametrize("magic", [0, 1])
def test_older_formats_are_left_to_aiokafka(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
    builder.append(0, timestamp=5, key=b"k", value=b"v" * 100)
    older = bytes(builder.build())
    assert [each.value for each in PartitionRecords(PLACE, MemoryRecords(older), [], 0, None, None, True, READ_COMMITTED)]
    assert _read(older, 0) is None
    assert _read(SMALL + older, 40) is None


@pytest.mark.parametrize("magic", [3, 127, 255])
def test_newer_formats_are_left_to_aiokafka(magic: int) -> None:
    assert _read(_edited(SMALL, 16, 1, bytes([magic])), 40) is None


def test_nothing_but_a_batch_that_is_cut_off_is_left_to_aiokafka() -> None:
    """It tells that the record is too large."""
    assert [_read(SMALL[:end], 40) for end in range(len(SMALL))] == [None] * len(SMALL)


def test_batches_that_end_before_the_offset_or_go_back_are_left_to_aiokafka() -> None:
    assert _read(SMALL, 43) is not None
    assert _read(SMALL, 44) is None
    assert _read(SMALL + Batch(7, 0, ()).encode(43), 40) is None
    assert _read(SMALL + Batch(7, 0, ()).encode(44), 40) is not None
    assert _read(SMALL + Batch(7, 0, (), behind=-1).encode(44), 40) is None


def test_control_batches_without_a_type_are_left_to_aiokafka() -> None:
    items = [(), (Item(0, 0, None, b""),), (Item(0, 0, b"\0\0\0", b""),)]
    assert [_read(Batch(7, CONTROL | TRANSACTIONAL, each).encode(0), 0) for each in items] == [None] * 3


def _batch_of(*contents: bytes, more: int = 0) -> bytes:
    """With four offsets. `more`: how many records it says it has that it has not."""
    head = struct.pack(">hiqqqhii", 0, 3, 0, 0, 0, 0, 0, len(contents) + more)
    return sealed(struct.pack(">qiib", 0, 0, 0, 2), head + b"".join(map(prefixed, contents)))


PLAIN = b"\0\0\0\1\1\0"
"""Attributes, deltas of time and offset, no key, no value, no headers."""


@pytest.mark.parametrize(
    "content",
    [
        b"\1" + PLAIN[1:],  # no attribute is known
        b"\0\x80\0" + PLAIN[2:],  # 0 in two bytes
        b"\0\0\x81\0" + PLAIN[3:],
        b"\0\0\0\x81\0\1\0",
        b"\0" + b"\xff" * 9 + b"\3" + PLAIN[2:],  # 65 bits
        b"\0" + b"\x80" * 10 + b"\1" + PLAIN[2:],
        b"\0\0\0\3\1\0",  # lengths of -2
        b"\0\0\0\1\3\0",
        b"\0\0\0\1\1\2\2h\3",
        b"\0\0\0\1\1\2\1\1",  # a header without a name
        b"\0\0\0\1\1\2\2\xff\1",  # with one that is no text
        b"\0\0\0\1\1\1",  # -1 headers
        b"\0\0\1\1\1\0",  # an offset before the batch
        b"\0\0\x08\1\1\0",  # and one behind it
        PLAIN[:-1],
        PLAIN + b"\0",
        b"",
    ],
)
def test_malformed_records_are_left_to_aiokafka(content: bytes) -> None:
    """Also some that it reads."""
    assert _read(_batch_of(PLAIN), 0) is not None
    assert _read(_batch_of(content), 0) is None


def test_wrong_numbers_of_records_are_left_to_aiokafka() -> None:
    found = [_read(_batch_of(*contents, more=more), 0) is not None for contents in ((), (PLAIN,)) for more in (-1, 0, 1)]
    assert found == [False, True, False] * 2


def test_offsets_that_do_not_ascend_are_left_to_aiokafka() -> None:
    first, second = PLAIN, b"\0\0\2\1\1\0"
    found = [_read(_batch_of(*contents), 0) is not None for contents in [(first, second), (second, first), (first, first)]]
    assert found == [True, False, False]


def test_an_aborted_transaction_is_not_seen_and_a_committed_one_is() -> None:
    """So that it is said here once, and not only that it is as aiokafka has it."""
    steps = [(1, b"a"), (2, b"b"), (1, ABORT), (1, b"c"), (2, COMMIT), (1, COMMIT)]
    answer = transactions(steps, b"", 0)
    assert answer.aborted == ((1, 0),)
    fetched = _read(answer.raw, answer.offset, answer.aborted)
    assert fetched is not None
    assert [(each.offset, each.value) for each in fetched.take(ALL, ALL, 0)[0]] == [(1, b"b"), (3, b"c")]
    assert (fetched.position, fetched.more) == (6, False)


# Records as Python sees them


_record = st.builds(Record, st.just("t"), st.just(3), st.integers(0, 9), NUMBERS, PARTS, PARTS, HEADERS)


@pytest.mark.parametrize("invisible", [0, TRANSACTIONAL], ids=["others", "aborted"])
def test_a_few_records_do_not_hold_the_answer_that_they_came_in(invisible: int) -> None:
    """Only they are counted while they wait to be masked."""
    others = Batch(7, invisible, tuple(Item(0, 0, b"k", b"v" * 100, (("h", None),)) for _ in range(20)))
    few = Batch(1, 0, (Item(1, 5, None, b"w", (("h", b"x"),)), Item(0, 6, b"k", None), Item(0, 7, None, None)))
    raw = others.encode(0) + few.encode(20)
    expected = [
        Record(PLACE.topic, PLACE.partition, 21, 1_700_000_000_005, None, b"w", (("h", b"x"),)),
        Record(PLACE.topic, PLACE.partition, 22, 1_700_000_000_006, b"k", None, ()),
        Record(PLACE.topic, PLACE.partition, 23, 1_700_000_000_007, None, None, ()),
    ]
    before = sys.getrefcount(raw)
    fetched = _read(raw, 0, [(7, 0)])
    assert fetched is not None
    if not invisible:
        fetched.take(20, ALL, 0)
    records, _ = fetched.take(20, ALL, 0)
    assert not fetched.more
    del fetched
    assert sys.getrefcount(raw) == before
    assert [*records] == expected


@many
@given(st.lists(_record, min_size=1, max_size=6), st.lists(st.slices(7), max_size=2))
def test_records_are_a_sequence(records: list[Record], slices: list[slice]) -> None:
    """Also slices of slices, which share the bytes."""
    made: Records | list[Any] = Records.of(records, Record)
    expected = records
    for part in [slice(None), *slices]:
        if part.step not in (None, 1):
            with pytest.raises(ValueError, match="without a step"):
                made[part]
            continue
        made, expected = made[part], expected[part]
        assert [*made] == expected
        assert [*reversed(made)] == expected[::-1]
        assert len(made) == len(expected)
        for index in range(-8, 8):
            if -len(expected) <= index < len(expected):
                assert made[index] == expected[index]
            else:
                with pytest.raises(IndexError):
                    made[index]
    assert isinstance(made, Sequence)


GOOD = Record("t", 3, 7, 5, b"k", b"v", (("h", b"x"),))


def test_records_are_of_one_partition() -> None:
    for others in ([structs.replace(GOOD, topic="u")], [GOOD, structs.replace(GOOD, partition=4)]):
        with pytest.raises(ValueError, match="more than one partition"):
            Records.of([GOOD, *others], Record)
    with pytest.raises(ValueError, match="no records"):
        Records.of([], Record)


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": SECRET + "\ud800"},
        {"partition": SECRET},
        {"offset": 1 << 64},
        {"timestamp": None},
        {"key": SECRET},
        {"value": SECRET},
        {"headers": (SECRET,)},
        {"headers": ((SECRET.encode(), b""),)},
        {"headers": ((SECRET + "\ud800", b""),)},
        {"headers": (("h", SECRET),)},
    ],
)
def test_no_error_tells_what_a_record_or_row_holds(wrong: dict[str, Any]) -> None:
    record = structs.replace(GOOD, **wrong)
    row: Any = (record.timestamp, record.key, record.value, [*record.headers])
    calls: list[Callable[[], object]] = [lambda: Records.of([GOOD, record], Record)]
    if not wrong.keys() & {"topic", "partition", "offset"}:
        calls.append(lambda: Rows.of([row]))
    for call in calls:
        with pytest.raises(ValueError, match=r"^not a (record|row)$") as caught:
            call()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None


# Writing


_timestamp = NUMBERS.filter(lambda number: number != -1)  # which aiokafka takes for none
_rows = st.lists(st.tuples(_timestamp, PARTS, PARTS, HEADERS.map(list)), max_size=9)
_most_bytes = st.integers(0, 400) | st.integers(9000, 20_000) | st.just(1 << 20)
_state = st.tuples(st.integers(-1, (1 << 63) - 1), st.integers(-1, (1 << 15) - 1), st.integers(0, (1 << 31) - 1))


def _by_aiokafka(rows: list[Row], most_bytes: int, state: tuple[int, int, int]) -> list[tuple[int, bytes]]:
    """As the publisher sends rows, a batch after the other: how many are in each, and its bytes."""
    batches: list[BatchBuilder] = []
    for timestamp, key, value, headers in rows:
        parts = {"timestamp": timestamp, "key": key, "value": value, "headers": headers}
        if not batches or batches[-1].append(**parts) is None:
            batches.append(BatchBuilder(most_bytes, 0, is_transactional=1))
            batches[-1].append(**parts)
    for batch in batches:
        batch._set_producer_state(*state)
    return [(batch.record_count(), bytes(batch._build())) for batch in batches]


@many
@given(_rows, _most_bytes, _state)
def test_rows_are_written_as_aiokafka_writes_them(rows: list[Row], most_bytes: int, state: tuple[int, int, int]) -> None:
    encoded = Rows.of(rows).encode(most_bytes)
    expected = _by_aiokafka(rows, most_bytes, state)
    for _ in range(2):
        assert [(each.count, each.build(*state)) for each in encoded] == expected
    assert [each.size for each in encoded] == [len(built) for _, built in expected]


@many
@given(st.lists(st.tuples(NUMBERS, PARTS, PARTS, HEADERS.map(list)), max_size=9), _most_bytes)
def test_what_is_written_reads_back(rows: list[Row], most_bytes: int) -> None:
    made = Rows.of(rows)
    assert ([*made], len(made)) == (rows, len(rows))
    raw, base = b"", 0
    for each in made.encode(most_bytes):
        raw += struct.pack(">q", base) + each.build(7, 0, base)[8:]
        base += each.count
    fetched = _read(raw, 0)
    assert (fetched is None) == (not rows)
    if fetched is not None:
        records, _ = fetched.take(ALL, ALL, RECORD_BYTES)
        assert [(each.timestamp, each.key, each.value, [*each.headers]) for each in records] == rows
        assert [each.offset for each in records] == [*range(len(rows))]


def test_rows_are_a_sequence() -> None:
    rows: list[Row] = [(number, b"k", None, []) for number in range(3)]
    made = Rows.of(rows)
    assert [made[index] for index in range(-3, 3)] == rows * 2
    for index in (-4, 3, 1 << 62, -(1 << 62)):
        with pytest.raises(IndexError):
            made[index]
    assert isinstance(made, Sequence)
