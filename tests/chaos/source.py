"""Debezium's part: change events, some of them bad, in transactions of which some abort, so that the logs have gaps.

It keeps a backlog: masking is never short of records, else nothing that happens to it would prove anything. It counts what it
wrote, and apart from that what it can't tell: a broker that is killed may have lost the answer, not the records.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from random import Random

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.chaos.observer import Observer
from tests.integration.kit import CANARY, event

__all__ = ["LARGEST_BYTES", "Source", "events"]

LARGEST_BYTES = 400_000
_ABORTED = 0.15  # of the transactions
_MALFORMED, _TOMBSTONES, _LARGE, _HEADERS = 0.01, 0.02, 0.002, 0.05  # of the events
_LARGEST_ROUND = 200  # events into one partition
_ROUNDS = 4  # between two looks at how many remain
_BAD = (
    b"no JSON: " + CANARY.encode(),
    b'{"no":"envelope","name":"' + CANARY.encode() + b'"}',
    b"\xff" + CANARY.encode(),
    b"[" * 10_000 + CANARY.encode(),
)

Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def events(random: Random) -> Iterator[Row]:
    """Key, value and headers of one event after another, each with the canary in it."""
    number = 0
    while True:
        number += 1
        drawn = random.random()
        key, value = event(number, name=f"{CANARY}-{number}")
        headers: list[tuple[str, bytes | None]] = [("trace", CANARY.encode())] if random.random() < _HEADERS else []
        if drawn < _MALFORMED:
            yield key, random.choice(_BAD), headers
        elif drawn < _MALFORMED + _TOMBSTONES:
            yield key, None, headers
        elif drawn < _MALFORMED + _TOMBSTONES + _LARGE:
            yield *event(number, name=CANARY * (random.randrange(LARGEST_BYTES) // len(CANARY))), headers
        else:
            yield key, value, headers


class Source:
    """Writes into all source partitions until `stop`, and keeps about `backlog` records that are not masked yet.

    `written` counts the records that were committed, `doubtful` those that were or were not, by partition.
    """

    def __init__(self, brokers: str, observer: Observer, backlog: int, seed: str) -> None:
        self._brokers = brokers
        self._observer = observer
        self._backlog = backlog
        self._random = Random(f"{seed} source")
        self._events = events(self._random)
        self._number = 0
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.written: Counter[TopicPartition] = Counter()
        self.doubtful: Counter[TopicPartition] = Counter()
        self.aborted = 0

    async def stop(self) -> None:
        """Has `run` come to its end."""
        self._enough.set()

    async def give_up(self) -> None:
        """Ends `run` at once, if it has not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self) -> None:
        """In the end each partition gets a few records that are committed."""
        self._task = asyncio.current_task()
        while not self._enough.is_set():
            with suppress(KafkaError, TimeoutError):
                async with self._producing() as producer:
                    while not self._enough.is_set():
                        for _ in range(_ROUNDS):
                            await self._round(producer, self._random.sample(self._observer.sources, 3), self._random.random())
                        await self._wait_for_room()
            await asyncio.sleep(0.5)  # the broker was killed, or is not there yet
        while True:
            with suppress(KafkaError, TimeoutError):
                async with self._producing() as producer:
                    await self._round(producer, self._observer.sources, 1.0)
                    return

    async def _wait_for_room(self) -> None:
        while not self._enough.is_set() and await self._observer.remaining_now() > self._backlog:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), 0.2)

    async def _round(self, producer: AIOKafkaProducer, partitions: list[TopicPartition], drawn: float) -> None:
        """One transaction; it is aborted if `drawn`, of 0 to 1, is low."""
        count, written = 0, Counter[TopicPartition]()
        await producer.begin_transaction()
        for topic, partition in partitions:
            first = count
            deliveries, batch = [], producer.create_batch()
            for _ in range(self._random.randint(1, _LARGEST_ROUND)):
                key, value, headers = next(self._events)
                timestamp, count = 1_700_000_000_000 + count, count + 1
                while batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                    deliveries.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
            deliveries.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.wait_for(asyncio.gather(*deliveries), 30)
            written[TopicPartition(topic, partition)] += count - first
        if drawn < _ABORTED:
            await producer.abort_transaction()
            self.aborted += 1
        else:
            self.doubtful += written
            await asyncio.wait_for(producer.commit_transaction(), 30)
            self.doubtful -= written
            self.written += written

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[AIOKafkaProducer]:
        self._number += 1  # a transaction whose end is unknown is left behind; the broker aborts it soon
        producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            transactional_id=f"{id(self)}-source-{self._number}",
            transaction_timeout_ms=10_000,
            max_batch_size=1 << 19,
            max_request_size=1 << 24,
        )
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()
