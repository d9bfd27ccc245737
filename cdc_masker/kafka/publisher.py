"""Publishes what became of one batch, whole or not at all, in one Kafka transaction.

Each source partition has a publisher of its own, because Kafka fences by transactional id: whoever starts a publisher for a
partition ends the work of every earlier one for it. The steps of `Publisher.publish`:

1. begin the transaction;
2. hand over the quarantine notes and the audit entry, first, so that they go along with the first of the records;
3. hand over the masked records, to the partition with the source's number, in the source's order, with its timestamps;
4. store the next source offset with its checkpoint;
5. wait until the brokers have all of it: a delivery that failed must not be committed over;
6. have the caller confirm that it may still be published;
7. commit.

What always holds: when anything before 7 fails, the transaction is aborted; when 7 does not end in time, nobody knows its
outcome, so the caller must end the process and let the next one read the committed offset. Records go out as whole batches,
which costs a fraction of sending one by one: those that the compiled core encoded, or such as aiokafka builds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaConnectionError, KafkaError, NodeNotReadyError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from cdc_masker.batches import Encoded, EncodedRows, Row
from cdc_masker.errors import TransientError
from cdc_masker.kafka import steps
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.topics import LARGEST_ENTRY, Output
from cdc_masker.settings import Settings

__all__ = ["Fenced", "Publication", "Publisher", "told"]

_BATCH_BYTES = 1 << 20
_CLEAN_UP_SECONDS = 2.0


class Fenced(Exception):
    """Another worker took this partition over, or the broker gave this one up. Nothing of the batch was published."""


@dataclass(frozen=True, slots=True)
class Publication:
    """All that one transaction holds. `offset` is the next source offset and `metadata` its encoded checkpoint; `timestamp` is
    that of notes and entry, in ms since the epoch.
    """

    rows: Sequence[Row]
    notes: Sequence[bytes]
    entry: bytes
    timestamp: int
    offset: int
    metadata: str


class _Encoded:
    """A batch that is encoded already, for the producer: it asks for all that it asks of one of its own."""

    def __init__(self, batch: Encoded) -> None:
        self._batch = batch
        self._producer_state = -1, -1, 0

    def record_count(self) -> int:
        return self._batch.count

    def size(self) -> int:
        return self._batch.size

    def close(self) -> None:
        """Nothing can be added anyway."""

    def closed(self) -> bool:
        return True

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer_state = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        return self._batch.build(*self._producer_state)


class Publisher:
    """The only one that may publish for `source` in this generation, from its start until another one starts."""

    def __init__(self, settings: Settings, source: TopicPartition, output: Output) -> None:
        self._settings = settings
        self._source = source
        self._output = output
        self._key = f"{source.topic}-{source.partition}".encode()
        self._transactional_id = f"{settings.app_id}-{settings.generation}-{source.topic}-{source.partition}"
        self._largest = min(_BATCH_BYTES, output.largest)
        self._producer: Any = None

    async def start(self) -> None:
        """Fences every earlier publisher of this partition and settles what it left open. Raises `KafkaError`."""
        self._producer = AIOKafkaProducer(
            **self._settings.kafka_client(),
            client_id=self._transactional_id,
            transactional_id=self._transactional_id,
            # A little longer than we wait ourselves: else the broker might abort what is about to be committed.
            transaction_timeout_ms=int(self._settings.transaction_timeout * 1000) + 5000,
            max_batch_size=self._largest,
            max_request_size=LARGEST_ENTRY,
            retry_backoff_ms=20,  # a partition is often not free yet from the transaction before
        )
        await self._producer.start()

    async def publish(self, publication: Publication, confirm: Callable[[], None]) -> None:
        """Publishes a batch exactly once. What `confirm` raises aborts it.

        Raises `Fenced`, `TimeoutError` when the outcome is unknown or the brokers don't answer within
        `transaction_timeout`, and `KafkaError` after the transaction was aborted.
        """
        async with asyncio.timeout(self._settings.transaction_timeout):
            try:
                await self._producer.begin_transaction()
                steps.reach(Step.BEGUN)
                await self._fill(publication)
                confirm()
                steps.reach(Step.CONFIRMED)
            except (IllegalOperation, KafkaError) as error:
                reason = self._reason(error)
                if isinstance(reason, ProducerFenced):
                    raise Fenced from None
                await self._abort()
                raise reason from reason.__cause__
            except BaseException:
                await self._abort()
                raise
            try:
                await self._producer.commit_transaction()
            except ProducerFenced:
                raise Fenced from None
            steps.reach(Step.COMMITTED)

    async def move(self, offset: int, metadata: str, *, commit: bool) -> None:
        """Stores the next source offset alone, in a transaction of its own, or begins to and takes it back.

        Raises `TimeoutError` when the outcome is unknown, and `KafkaError`.
        """
        async with asyncio.timeout(self._settings.transaction_timeout):
            await self._producer.begin_transaction()
            await self._store(offset, metadata)
            await (self._producer.commit_transaction() if commit else self._producer.abort_transaction())

    async def stop(self) -> None:
        """Closes the connections; what is still open is aborted by the next publisher of this partition."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(producer.stop(), _CLEAN_UP_SECONDS)

    async def _fill(self, publication: Publication) -> None:
        settings, partition = self._settings, self._source.partition
        deliveries: list[asyncio.Future[Any]] = []
        for topic, values, step in (
            (settings.quarantine_topic, publication.notes, Step.NOTES_SENT),
            (settings.audit_topic, [publication.entry], Step.ENTRY_SENT),
        ):
            deliveries += await self._send(topic, 0, [(publication.timestamp, self._key, value, []) for value in values])
            steps.reach(step)
        deliveries += await self._send(self._output.topic, partition, publication.rows)
        steps.reach(Step.RECORDS_SENT)
        await self._store(publication.offset, publication.metadata)
        steps.reach(Step.OFFSETS_SENT)
        await asyncio.gather(*deliveries)
        steps.reach(Step.FLUSHED)

    async def _store(self, offset: int, metadata: str) -> None:
        position = OffsetAndMetadata(offset, metadata)
        await self._producer.send_offsets_to_transaction({self._source: position}, self._settings.group)

    async def _send(self, topic: str, partition: int, rows: Sequence[Row]) -> list[asyncio.Future[Any]]:
        """Hands rows to the producer, and gives what tells that the brokers have them."""
        batches = map(_Encoded, rows.encode(self._largest)) if isinstance(rows, EncodedRows) else self._built(rows)
        deliveries = []
        for batch in batches:
            deliveries.append(await self._producer.send_batch(batch, topic, partition=partition))
            deliveries[-1].add_done_callback(_heard)
        return deliveries

    def _built(self, rows: Iterable[Row]) -> Iterator[Any]:
        """The rows in as few batches as they fit in. A row that is too large for one gets its own."""
        batch = self._producer.create_batch()
        for timestamp, key, value, headers in rows:
            if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        if batch.record_count():
            yield batch

    def _reason(self, error: Exception) -> Exception:
        """What ended the transaction, if anything did: what is called after that is told only that there is none."""
        end: asyncio.Future[None] = self._producer._txn_manager.wait_for_transaction_end()  # it is told in no public way
        reason = end.exception() if end.done() else None
        return reason if isinstance(reason, Exception) else error

    async def _abort(self) -> None:
        # The transaction's own exit aborts, unless the producer is beyond that; a broker that does not answer aborts by
        # itself after the transaction's time-out, and the next publisher of this partition before.
        with suppress(KafkaError, TimeoutError):
            exit_ = self._producer.transaction().__aexit__(Exception, None, None)
            await asyncio.wait_for(exit_, _CLEAN_UP_SECONDS)
        steps.reach(Step.ABORTED)


def _heard(delivery: asyncio.Future[Any]) -> None:
    """A delivery that fails after another one did is no news: asyncio would log it as an error that was never retrieved."""
    if not delivery.cancelled():
        delivery.exception()


def told(error: KafkaError) -> Exception:
    """What to say of an error that talking to Kafka ended with: a lost connection by a sentence, any other error as it is."""
    cause: BaseException | None = error
    while cause is not None:  # the producer's own task wraps what it ended with, and a lost connection has a cause, too
        if isinstance(cause, (KafkaConnectionError, NodeNotReadyError)):
            return TransientError("the connection to Kafka was lost in the middle of it")
        cause = cause.__cause__
    as_it_is: Exception = error
    return as_it_is
