"""Whether a program did its work: each event once, masked where it has to be, and everything else as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.events import MASKED, Customer, event, number_of

__all__ = ["Checker", "Wrong", "check"]

_PROCESSES = 2
_LOOK_CLOSELY = 97  # at each of so many


class Wrong(Exception):
    """The output is not what it should be."""


@dataclass(slots=True)
class Checker:
    """What was found in some partitions of an output of `count` events; `masked` tells whether it was to be masked.

    `before` has for each partition, for each of some offsets, how many records come before that one.
    """

    count: int
    masked: bool
    cuts: dict[int, Sequence[int]]
    before: dict[int, list[int]] = field(default_factory=dict)
    seen: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.seen = bytearray(self.count)
        self.before = {partition: [0] * len(cuts) for partition, cuts in self.cuts.items()}

    def take(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Looks at one record. Raises `Wrong`."""
        try:
            number = number_of(key or b"")
        except ValueError:
            raise Wrong(f"partition {partition}, offset {offset}: the key is not that of an event") from None
        if not 0 <= number < self.count:
            raise Wrong(f"partition {partition}, offset {offset}: no event has that number")
        if self.seen[number]:
            raise Wrong(f"partition {partition}, offset {offset}: event {number} is there twice")
        self.seen[number] = 1
        if value is None:
            raise Wrong(f"event {number} has no value")
        if self.masked and any(raw in value for raw in Customer.of(number).values):
            raise Wrong(f"event {number} is not masked")
        if not number % _LOOK_CLOSELY:
            self._compare(number, value)
        counts = self.before[partition]
        for index, cut in enumerate(self.cuts[partition]):
            counts[index] += offset < cut

    def _compare(self, number: int, value: bytes) -> None:
        raw, made = orjson.loads(event(number)[1]), orjson.loads(value)
        if self.masked:
            email, ssn = made["after"]["email"], made["after"]["ssn"]
            if not all(isinstance(token, str) and len(token) > 10 for token in (email, ssn)) or email == ssn:
                raise Wrong(f"event {number} has no tokens")
            for column in MASKED:
                raw["after"][column] = made["after"][column]
        if raw != made:
            raise Wrong(f"event {number} is changed where it should not be")

    def finish(self) -> None:
        """Raises `Wrong` unless each event was there."""
        missing = self.count - sum(self.seen)
        if missing:
            raise Wrong(f"{missing:,} of {self.count:,} events are missing")


def check(brokers: str, topic: str, count: int, masked: bool, cuts: Sequence[Sequence[int]]) -> list[int]:
    """Reads all of the output. `cuts`: some offsets of each partition; gives how many records come before them, in all.

    Raises `Wrong`.
    """
    shares = [{number: cuts[number] for number in range(first, len(cuts), _PROCESSES)} for first in range(_PROCESSES)]
    whole = Checker(count, masked, dict(enumerate(cuts)))
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        for part in pool.map(_check, shares, *([each] * _PROCESSES for each in (brokers, topic, count, masked))):
            if any(both > 1 for both in map(int.__add__, whole.seen, part.seen)):
                raise Wrong("an event is in two partitions")
            whole.seen = bytearray(map(int.__or__, whole.seen, part.seen))
            whole.before |= part.before
    whole.finish()
    return [sum(each) for each in zip(*whole.before.values(), strict=True)]


def _check(cuts: dict[int, Sequence[int]], brokers: str, topic: str, count: int, masked: bool) -> Checker:
    checker = Checker(count, masked, cuts)
    asyncio.run(_read(checker, brokers, topic))
    return checker


async def _read(checker: Checker, brokers: str, topic: str) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 << 20,
        check_crcs=False,
    )
    async with consumer:
        places = [TopicPartition(topic, number) for number in checker.cuts]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            fetched: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=200)
            for place, records in fetched.items():
                for record in records:
                    checker.take(place.partition, record.offset, record.key, record.value)
