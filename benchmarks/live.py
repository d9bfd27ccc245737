"""What only a running worker shows: scaling, latency at half load, memory after millions of events; each as a table's lines."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from benchmarks.bed import Bed, Run
from benchmarks.events import event
from benchmarks.measuring import measure
from benchmarks.observing import Stuck
from benchmarks.programs import PROGRAMS, running
from benchmarks.telling import Teller
from tests.kafka import administrator

__all__ = ["committed", "latency", "memory", "scaling", "until"]

Table = Iterator[str]

_PARTITIONS = 4
_WORKER = PROGRAMS["worker"]
_TICK = 0.01
_LOOK = 0.005
_PATIENCE = 120.0
_STEP = 100_000
_READY_EVENTS = 100


# Scaling


def scaling(bed: Bed, tell: Teller, scale: float) -> Table:
    """One worker and two on eight partitions, in turn."""
    events, rounds = int(500_000 * scale), 3
    bed.create("eight", 8)
    bed.load("eight", events)
    rates: dict[str, list[float]] = {"worker": [], "workers": []}
    for number in range(rounds):
        for name, found in rates.items():
            found.append(measure(bed, PROGRAMS[name], "eight", events, f"scaling{number}-{name}").rate)
            tell.line(f"scaling: {PROGRAMS[name].title}: {found[-1]:,.0f} events/s")
    yield "| workers, 8 partitions | events/s, median | lowest to highest | times one |"
    yield "| --- | --- | --- | --- |"
    for count, found in enumerate(rates.values(), 1):
        times = median(found) / median(rates["worker"])
        yield f"| {count} | {median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} | {times:.2f} |"


# Latency


def latency(bed: Bed, tell: Teller, scale: float) -> Table:
    """From Debezium's `ts_ms` to the masked record being readable, at half of what one worker can do."""
    count, seconds = max(int(200_000 * scale), 50_000), max(60 * scale, 5)
    bed.create("capacity", _PARTITIONS)
    bed.load("capacity", count)
    rate = measure(bed, _WORKER, "capacity", count, "capacity-worker").rate / 2
    tell.line(f"latency: at {rate:,.0f} events/s for {seconds:.0f} s")
    bed.create("paced", _PARTITIONS)
    with bed.run("latency", "paced") as run, running(_WORKER, run, bed.progress):
        found = asyncio.run(_latencies(run, rate, seconds))
    cuts = quantiles(found, n=1000, method="inclusive")
    yield "| events/s | seconds | events | p50 ms | p99 ms | p99.9 ms | longest ms |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    shown = " | ".join(f"{each:.0f}" for each in (cuts[499], cuts[989], cuts[998], max(found)))
    yield f"| {rate:,.0f} | {seconds:.0f} | {len(found):,} | {shown} |"


async def _latencies(run: Run, rate: float, seconds: float) -> list[float]:
    """Milliseconds for each event, after the first ones, by which it is seen that the worker is there."""
    partitions = range(_PARTITIONS)
    places = [TopicPartition(run.target, number) for number in partitions]
    producer = AIOKafkaProducer(bootstrap_servers=run.brokers, max_batch_size=1 << 20)
    reader = AIOKafkaConsumer(
        bootstrap_servers=run.brokers, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with producer, reader:
        await _send(producer, run.source, [event(number) for number in range(_READY_EVENTS)])
        await until(lambda: committed(run), _READY_EVENTS)
        start = await reader.end_offsets(places)
        seen: list[tuple[float, dict[TopicPartition, int]]] = []
        watching = asyncio.create_task(_watch(reader, places, seen))
        sent = _READY_EVENTS + await _pace(producer, run.source, rate, seconds)
        await until(lambda: committed(run), sent)
        await asyncio.sleep(10 * _LOOK)
        watching.cancel()
        return await _compare(reader, places, start, seen)


async def _pace(producer: Any, topic: str, rate: float, seconds: float) -> int:
    """Writes events at that rate, as a connector does: what came in a hundredth of a second at once. Gives how many."""
    templates = [event(number) for number in range(20_000)]
    began, sent = time.monotonic(), 0
    while (gone := time.monotonic() - began) < seconds:
        due = int(gone * rate)
        ms = b"%d" % (time.time_ns() // 1_000_000)
        rows = [_stamped(templates[number % len(templates)], ms) for number in range(sent, due)]
        await _send(producer, topic, rows)
        sent = due
        await asyncio.sleep(max(_TICK - (time.monotonic() - began - gone), 0))
    return sent


_STAMPS = b',"ts_ms":%b,"ts_us":%b000,"ts_ns":%b000000}'


def _stamped(row: tuple[bytes, bytes], ms: bytes) -> tuple[bytes, bytes]:
    """The event as if it had been captured now."""
    key, value = row
    return key, value[: value.rindex(b',"ts_ms":')] + _STAMPS % (ms, ms, ms)


def _stamp_of(value: bytes) -> float:
    at = value.rindex(b',"ts_ms":') + 9
    return float(value[at : value.index(b",", at)])


async def _send(producer: Any, topic: str, rows: list[tuple[bytes, bytes]]) -> None:
    for partition in range(_PARTITIONS):
        batch = producer.create_batch()
        for key, value in rows[partition::_PARTITIONS]:
            if batch.append(key=key, value=value, timestamp=None) is None:
                await producer.send_batch(batch, topic, partition=partition)
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        if batch.record_count():
            await producer.send_batch(batch, topic, partition=partition)


async def _watch(reader: Any, places: list[TopicPartition], seen: list[tuple[float, dict[TopicPartition, int]]]) -> None:
    """Notes when which offsets can be read."""
    while True:
        ends = await reader.end_offsets(places)
        if not seen or seen[-1][1] != ends:
            seen.append((time.time() * 1000, ends))
        await asyncio.sleep(_LOOK)


async def _compare(
    reader: Any,
    places: list[TopicPartition],
    start: dict[TopicPartition, int],
    seen: list[tuple[float, dict[TopicPartition, int]]],
) -> list[float]:
    """Reads what was masked, and finds for each record when it could be read first."""
    ends = {place: [each[place] for _, each in seen] for place in places}
    last = seen[-1][1]
    found = []
    reader.assign(places)
    for place in places:
        reader.seek(place, start[place])
    while any([await reader.position(place) < last[place] for place in places]):
        for place, records in (await reader.getmany(timeout_ms=200)).items():
            for record in records:
                readable, _ = seen[bisect_right(ends[place], record.offset)]
                found.append(readable - _stamp_of(record.value))
    return found


# Memory


@dataclass(frozen=True, slots=True)
class Resident:
    """MiB of memory of a process."""

    now: int
    highest: int

    @classmethod
    def of(cls, pid: int) -> Resident:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return cls(*(int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")))


def memory(bed: Bed, tell: Teller, scale: float) -> Table:
    """What a worker holds after a million events and after ten. What is done is deleted, so that the disk holds it."""
    marks = [int(count * scale) for count in (1_000_000, 2_000_000, 5_000_000, 10_000_000)]
    bed.create("long", _PARTITIONS)
    first = 0
    yield "| events | MiB | at its highest | beside the first |"
    yield "| --- | --- | --- | --- |"
    with bed.run("memory", "long") as run, running(_WORKER, run, bed.progress) as (process,):
        for mark in marks:
            for done in range(bed.loaded("long"), mark, _STEP):
                bed.load("long", min(_STEP, mark - done), first=done)
                asyncio.run(until(lambda: committed(run), bed.loaded("long")))
                asyncio.run(_forget(run))
            held = Resident.of(process.pid)
            first = first or held.now
            tell.line(f"memory: {held.now} MiB after {mark:,} events")
            yield f"| {mark:,} | {held.now} | {held.highest} | {held.now / first - 1:+.1%} |"


async def _forget(run: Run) -> None:
    """Deletes what was masked, and what became of it."""
    places = [TopicPartition(run.target, number) for number in range(_PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=run.brokers, isolation_level="read_committed") as reader:
        ends = await reader.end_offsets(places)
    async with administrator(run.brokers) as admin:
        done = await admin.list_consumer_group_offsets(run.name)
        deleted = {place: RecordsToDelete(before_offset=position.offset) for place, position in done.items()}
        deleted |= {place: RecordsToDelete(before_offset=end) for place, end in ends.items()}
        await admin.delete_records(deleted)


# What both need


async def committed(run: Run) -> int:
    """How many records of the source are done."""
    try:
        async with administrator(run.brokers) as admin:
            offsets = await admin.list_consumer_group_offsets(run.name)
    except KafkaError:  # the broker has just begun to keep groups
        return 0
    return sum(max(position.offset, 0) for position in offsets.values())


async def until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Returns when so many are done. Raises `Stuck` when for long no more of them are."""
    best, since = -1, time.monotonic()
    while (done := await count()) < wanted:
        if done > best:
            best, since = done, time.monotonic()
        if time.monotonic() - since > _PATIENCE:
            raise Stuck(f"the worker has masked {done:,} of {wanted:,} events, and no more for {_PATIENCE:.0f} s")
        await asyncio.sleep(0.1)
