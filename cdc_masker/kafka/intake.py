"""What the consumer has fetched: whose turn it is, how much of it is taken at once, and when more is fetched.

Lives in the consumer's thread. aiokafka's own `getmany` gives all that it has of the partition whose data came first before it
comes to the next, counts records and not bytes, and fetches ahead for every partition, however many there are. Here

- the partition that has waited longest is next, and each is given one batch at a time;
- a batch ends with the record that makes it `fetch_bytes`, so that few large ones come alone;
- nothing more is fetched while what was fetched does not fit into the room that lanes have left;
- for a partition that has caught up nothing is fetched while its batch is on its way, so that the next one has all that came
  meanwhile: what is fetched early waits for a transaction, and what comes after it for two.

What a broker answered is read by the compiled core, where there is one and it can: then no record becomes an object of Python's
before somebody asks for it. Else aiokafka reads it.

What always holds: what was fetched takes at most that room, and one answer of each broker, also while the main thread is busy
and asks for nothing. What a lane gets is counted in bytes after decompression.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import ConsumerStoppedError
from aiokafka.record.memory_records import MemoryRecords

from cdc_masker import cores
from cdc_masker.events import Record
from cdc_masker.settings import Settings

if TYPE_CHECKING:
    from cdc_masker_native import Fetched

__all__ = ["Intake", "limits"]

_WAIT_MS, _BUSY_WAIT_MS = 200, 20
"""For how long a broker waits for data of what it is asked for. It is asked for one thing at a time, so whatever could not be
part of that waits as long: less while something could not.
"""

_ANSWERS = 4
"""Answers of a broker that fit into the buffer."""
_OBJECT_BYTES = 500
"""About what the objects of a record take, beside its bytes."""
_SPAN_BYTES = 100
"""What the compiled core keeps of a record, beside its bytes."""


def limits(settings: Settings) -> dict[str, int]:
    """The consumer's arguments: bytes in one answer of a broker, those of one partition in it, and how long data is awaited."""
    of_one = min(settings.fetch_bytes, settings.buffer_bytes // _ANSWERS)
    return {
        "fetch_max_bytes": settings.buffer_bytes // _ANSWERS,
        "max_partition_fetch_bytes": of_one,
        "fetch_max_wait_ms": _WAIT_MS,
    }


class Intake:
    """What one consumer, which has started, has fetched. There is one for each."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._consumer = consumer
        self._fetcher = consumer._fetcher
        self._compiled = cores.is_compiled(settings.core)
        self._room = 0
        self._resting: set[TopicPartition] = set()
        self._fetcher._prefetch_backoff = 0  # else records that wait for a busy lane keep all others from being fetched
        self._plan = self._fetcher._get_actions_per_node
        self._fetcher._get_actions_per_node = self._plan_within_room

    @property
    def _fetched(self) -> dict[TopicPartition, Any]:
        if self._consumer._closed or self._fetcher._closed:
            raise ConsumerStoppedError
        fetched: dict[TopicPartition, Any] = self._fetcher._records
        return fetched

    @property
    def held(self) -> int:
        """Bytes that were fetched and not taken, as the brokers sent them. aiokafka's own task asks, too, while it stops."""
        parts = (getattr(result, "_partition_records", None) for result in self._fetcher._records.values())
        return sum(part._records.size_in_bytes() + _SPAN_BYTES * getattr(part, "left", 0) for part in parts if part is not None)

    @property
    def reassigning(self) -> bool:
        """Whether partitions are being given anew, so that what was fetched may not be ours."""
        found: bool = self._fetcher._subscriptions.reassignment_in_progress
        return found

    def position(self, partition: TopicPartition) -> int:
        """The offset after what was taken, and after the markers and aborted records that follow it."""
        found: int = self._state(partition).position
        return found

    def highwater(self, partition: TopicPartition) -> int:
        """The offset before which all is settled."""
        state = self._state(partition)
        found: int = state.position if state.lso is None else state.lso
        return found

    def has(self, partition: TopicPartition) -> bool:
        """Whether something of this partition was fetched, if only an error."""
        return partition in self._fetched

    def fetch_for(self, partitions: Collection[TopicPartition], wanted: Collection[TopicPartition], room: int) -> None:
        """Fetches for the wanted ones of these partitions while there is room, and forgets the records that were fetched for
        others than these. `room`: bytes.

        An error stays: while a partition has neither a position nor an error, aiokafka asks for its position, and meanwhile
        fetches nothing from that broker.
        """
        for partition in self._fetched.keys() - partitions:
            if not _failed(self._fetched[partition]):
                self._forget(partition)
        assigned = self._consumer.assignment()
        fetched = assigned.intersection(wanted)
        paused = self._consumer.paused() if assigned else set()
        self._consumer.pause(*(assigned - fetched - paused))
        self._consumer.resume(*(fetched & paused))
        self._resting = set(assigned.intersection(partitions)) - fetched
        self._room = room

    def rest(self, partition: TopicPartition) -> None:
        """Fetches nothing for this one until it is wanted, before a fetch for it is on its way."""
        self._consumer.pause(partition)
        self._resting.add(partition)

    def take(self, partition: TopicPartition) -> tuple[Sequence[Record], int]:
        """The next records of the partition, maybe none, and their size in bytes. Raises what its fetch failed with."""
        result = self._fetched[partition]
        if _failed(result):
            self._forget(partition)
            result.check_raise()
        records: Sequence[Record] = ()
        size = 0
        if result.check_assignment(partition) and result.has_more():
            part = result._partition_records
            if not isinstance(part, (_Encoded, _Decoded)):
                part = result._partition_records = self._read(partition, part)
            records, size = part.take(self._settings.batch_records, self._settings.fetch_bytes)
            result._update_position()
            if not part.more:
                result._partition_records = None
        if not result.has_more():
            self._forget(partition)
        return records, size

    def _read(self, partition: TopicPartition, part: Any) -> _Encoded | _Decoded:
        if self._compiled:
            from cdc_masker import native  # which not everybody has

            start, aborted = part.next_fetch_offset, part._aborted_transactions
            fetched = native.fetched(part._records.raw, partition.topic, partition.partition, start, aborted)
            if fetched is not None:
                part._records_iterator = None  # which holds the part, which holds it: the bytes would stay for a while
                return _Encoded(part._records, fetched)
        return _Decoded(part)

    async def wait(self, seconds: float) -> None:
        """Returns when something was fetched, or after that time."""
        waiter = self._fetcher._create_fetch_waiter()
        with suppress(TimeoutError):
            await asyncio.wait_for(waiter, seconds)  # raises the coordinator's errors

    def _plan_within_room(self, assignment: Any) -> tuple[Any, ...]:
        """What aiokafka would do next, without fetching more than there is room for.

        Not by pausing: what was fetched of a paused partition is thrown away and fetched again.
        """
        self._fetcher._fetch_max_wait_ms = _BUSY_WAIT_MS if self._resting or self._fetcher._records else _WAIT_MS
        fetches, *others = self._plan(assignment)
        return fetches if self.held < self._room else [], *others

    def _state(self, partition: TopicPartition) -> Any:
        return self._consumer._subscription.subscription.assignment.state_value(partition)

    def _forget(self, partition: TopicPartition) -> None:
        del self._fetched[partition]
        self._fetcher._notify(self._fetcher._wait_consume_future)


class _Kept:
    """What a broker answered for a partition: batches of records, which aiokafka reads, and their bytes, which it hides."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        records = MemoryRecords(raw)
        self.has_next, self.next_batch, self.size_in_bytes = records.has_next, records.next_batch, records.size_in_bytes


fetcher.MemoryRecords = _Kept  # for all consumers of the process, which notice nothing


class _Encoded:
    """An answer that the compiled core reads, in place of aiokafka's `PartitionRecords`."""

    def __init__(self, records: _Kept, fetched: Fetched) -> None:
        self._records = records
        self._fetched = fetched

    @property
    def next_fetch_offset(self) -> int:
        return self._fetched.position

    @property
    def more(self) -> bool:
        return self._fetched.more

    @property
    def left(self) -> int:
        """How many records are not taken."""
        return self._fetched.left

    def take(self, most_records: int, most_bytes: int) -> tuple[Sequence[Record], int]:
        """The next records, and their size in bytes."""
        # Without what is kept beside the bytes: else the last records of each answer would be a small batch of their own.
        records, size = self._fetched.take(most_records, most_bytes, 0)
        return records, size + _SPAN_BYTES * len(records)


class _Decoded:
    """An answer that aiokafka reads."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self._records = part._records
        self.more = True
        part._consumer_record = _record  # instead of aiokafka's own, which takes as long again

    @property
    def next_fetch_offset(self) -> int:
        found: int = self._part.next_fetch_offset
        return found

    def take(self, most_records: int, most_bytes: int) -> tuple[Sequence[Record], int]:
        """The next records, and their size in bytes."""
        records: list[Record] = []
        size = 0
        # As `getall` does it, which knows no bytes; `getone` takes half as long again, for what it checks each time.
        for record in self._part:
            records.append(record)
            size += _size(record)
            if len(records) >= most_records or size >= most_bytes:
                return records, size
        self.more = False
        return records, size


def _failed(result: Any) -> bool:
    return hasattr(result, "check_raise")


def _record(partition: TopicPartition, record: Any) -> Record:
    return Record(
        partition.topic, partition.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers) if record.headers else 0
    return _OBJECT_BYTES + len(record.key or b"") + len(record.value or b"") + headers
