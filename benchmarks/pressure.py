"""What a worker bears, on the real stack: memory, fairness and quarantine under poison and pressure.

Each scenario starts a worker on empty topics, stops it (SIGSTOP) while a backlog is written, so that all of it is there at
once, lets it go on, and looks at the memory of its process (`/proc`) before, at half of the records, at its highest and when
all is masked. Each then makes sure that every record got its outcome. `tests/integration/test_pressure.py` runs them small.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cdc_masker.stack import Stack
from tests.integration.kit import Deployment, Worker, event, until

MIB = 1 << 20
Row = tuple[bytes | None, bytes | None]
Make = Callable[[int], Row]
"""Key and value of the record with this number."""

_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`records` masked in `seconds`, and the MiB of memory that the worker's process had meanwhile."""

    name: str
    records: int
    seconds: float
    start: int
    middle: int
    peak: int
    end: int
    more: str = ""

    @property
    def grown(self) -> int:
        """MiB by which the worker was larger at its highest than when it had nothing to do."""
        return self.peak - self.start

    def __str__(self) -> str:
        figures = f"{self.records:>9,} {self.seconds:>7.1f} {self.start:>6} {self.middle:>7} {self.peak:>6} {self.end:>6}"
        return f"{self.name:<34} {figures}  {self.more}".rstrip()


HEADING = f"{'scenario':<34} {'records':>9} {'seconds':>7} {'start':>6} {'middle':>7} {'peak':>6} {'end':>6}  MiB of memory"


# What comes


def poisoned(number: int) -> Row:
    """An event; each hundredth is one that can't be read, in turn one of each kind."""
    return event(number) if number % 100 else POISON[number // 100 % len(POISON)](number)


def is_poison(number: int) -> bool:
    return number % 100 == 0


def _nested(number: int) -> Row:
    key, value = event(number)
    return key, value.replace(b'"note":"', b'"deep":' + b"[" * 100_000 + b"]" * 100_000 + b',"note":"')


def _torn(number: int) -> Row:
    key, value = event(number)
    return key, value[: len(value) // 2]


def _not_text(number: int) -> Row:
    key, value = event(number)
    return key, value.replace(b'"note":"', b'"note":"\xff\xfe')


def _twice(number: int) -> Row:
    key, value = event(number)
    return key, value.replace(b'"born":12345', b'"born":12345,"born":12345')


POISON: tuple[Make, ...] = (
    _torn,
    _nested,
    _not_text,
    _twice,
    lambda number: (b"[" * 100_000, event(number)[1]),  # a key that never ends
    lambda number: (event(number)[0], b""),
    lambda number: (event(number)[0], bytes(range(256))),
)


def large(number: int) -> Row:
    """An event of 10 MB, which compresses well."""
    return event(number, name=f"{number:08d}" * 1_250_000)


def wide(number: int) -> Row:
    """An event with 5,000 columns, each time other ones."""
    columns = "".join(f'"c{number}_{column}":{column},' for column in range(5000))
    key, value = event(number)
    return key, value.replace(b'"note":"', columns.encode() + b'"note":"')


# Memory


def memory(worker: Worker) -> tuple[int, int]:
    """MiB of the worker's process: now, and at its highest."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    now, highest = (int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))
    return now, highest


@contextmanager
def stopped(worker: Worker) -> Iterator[None]:
    """While the worker takes no step."""
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)


def masked_by(worker: Worker) -> int:
    return int(worker.metric("cdc_masker_records_total"))


# Scenarios


def backlog(
    name: str,
    deployment: Deployment,
    topics: Mapping[str, int],
    count: int,
    make: Make = event,
    *,
    compression: str | None = None,
    seconds: float = 600,
    **settings: str,
) -> tuple[Worker, Figures]:
    """Has one worker mask `count` records that are there at once, in turn of each of the topics' partitions."""
    for topic, partitions in topics.items():
        deployment.create(topic, partitions, max_message_bytes=str(12 * MIB))
    began = time.monotonic()
    worker = deployment.ready(deployment.start(session_timeout="60", **settings))
    ready = time.monotonic() - began
    start, _ = memory(worker)
    with stopped(worker):
        fill(deployment, topics, count, make, compression=compression)
    began = time.monotonic()
    middle = 0

    def done() -> bool:
        nonlocal middle
        masked = masked_by(worker)
        if not middle and masked >= count // 2:
            middle = memory(worker)[0]
        return masked >= count

    until(done, seconds, lambda: worker.log.read_text()[-3000:], every=0.2)
    took = time.monotonic() - began
    now, peak = memory(worker)
    more = f"ready {ready:.1f} s after its start"
    return worker, Figures(name=name, records=count, seconds=took, start=start, middle=middle, peak=peak, end=now, more=more)


def fill(
    deployment: Deployment, topics: Mapping[str, int], count: int, make: Make = event, *, compression: str | None = None
) -> None:
    """Writes `count` records, in turn to each of the topics' partitions."""
    places = [(topic, partition) for topic, partitions in topics.items() for partition in range(partitions)]

    async def run() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=deployment.stack.kafka_brokers,
            max_batch_size=MIB // 2,
            max_request_size=16 * MIB,
            compression_type=compression,
        )
        async with producer:
            for at, (topic, partition) in enumerate(places):
                batch = producer.create_batch()
                deliveries = []
                for number in range(at, count, len(places)):
                    key, value = make(number)
                    while batch.append(timestamp=_MS + number, key=key, value=value) is None:
                        deliveries.append(await producer.send_batch(batch, topic, partition=partition))
                        batch = producer.create_batch()
                if batch.record_count():
                    deliveries.append(await producer.send_batch(batch, topic, partition=partition))
                await asyncio.gather(*deliveries)

    asyncio.run(run())


def quarantined(deployment: Deployment) -> list[tuple[str, int, int]]:
    """(topic, partition, offset) of each quarantine note, in their order."""
    notes = [json.loads(record.value) for record in deployment.records(deployment.environment["CDC_MASKER_QUARANTINE_TOPIC"])]
    return [(note["topic"], note["partition"], note["offset"]) for note in notes]


def poison(deployment: Deployment, count: int) -> Figures:
    """One record in a hundred can't be read: each of them is in the quarantine once, and all others are masked."""
    partitions = 4
    _, figures = backlog("1 % poison", deployment, {deployment.topic: partitions}, count, poisoned)
    expected = sorted(
        (deployment.topic, number % partitions, number // partitions) for number in range(count) if is_poison(number)
    )
    assert sorted(quarantined(deployment)) == expected
    return replace(figures, more=f"{len(expected)} quarantined")


def hot(deployment: Deployment, count: int, partitions: int, looks: int = 10, **settings: str) -> tuple[Figures, int]:
    """While hot partitions have a backlog of `count` records, those of a quiet one are masked, one after the other.

    Gives also how many batches of one hot partition were published, at most, between the arrival of a quiet record and its
    own batch, by the order of the audit's entries.
    """
    quiet = f"{deployment.topic}.quiet"
    for topic, number in {deployment.topic: partitions, quiet: 1}.items():
        deployment.create(topic, number)
    worker = deployment.ready(deployment.start(session_timeout="60", **settings))
    start, _ = memory(worker)
    with stopped(worker):
        fill(deployment, {deployment.topic: partitions}, count)
    began = time.monotonic()
    arrivals = asyncio.run(_arrivals(deployment, quiet, looks))
    middle, _ = memory(worker)
    assert masked_by(worker) < count, "the backlog was gone before the quiet records were masked: nothing was shown"
    until(lambda: masked_by(worker) >= count + len(arrivals), 600, every=0.5)
    took = time.monotonic() - began
    now, peak = memory(worker)

    records = deployment.records(deployment.environment["CDC_MASKER_AUDIT_TOPIC"])
    entries = {record.offset: json.loads(record.value) for record in records}
    masked = [offset for offset, entry in entries.items() if entry["topic"] == quiet]
    waited = 0
    for arrival, at in zip(arrivals, masked, strict=True):
        before = Counter(entry["partition"] for offset, entry in entries.items() if arrival <= offset < at)
        waited = max([waited, *before.values()])
    figures = Figures(
        name=f"{partitions} hot partitions, a quiet one",
        records=count,
        seconds=took,
        start=start,
        middle=middle,
        peak=peak,
        end=now,
        more=f"at most {waited} batches of a hot one before one of {len(arrivals)} quiet records",
    )
    return figures, waited


async def _arrivals(deployment: Deployment, quiet: str, looks: int) -> list[int]:
    """Has records of the quiet topic masked; for each the end of the audit topic just before it was written."""
    brokers = deployment.stack.kafka_brokers
    audit = TopicPartition(deployment.environment["CDC_MASKER_AUDIT_TOPIC"], 0)
    masked = TopicPartition(deployment.masked_topic(quiet), 0)
    arrivals: list[int] = []
    async with (
        AIOKafkaProducer(bootstrap_servers=brokers) as producer,
        AIOKafkaConsumer(bootstrap_servers=brokers, isolation_level="read_committed") as reader,
    ):
        reader.assign([masked])
        reader.seek(masked, 0)
        for number in range(looks):
            arrivals.append((await reader.end_offsets([audit]))[audit])
            key, value = event(number)
            await producer.send_and_wait(quiet, key=key, value=value, partition=0)
            await asyncio.wait_for(reader.getone(), 120)
    return arrivals


def burst(deployment: Deployment, rate: int, seconds: int) -> Figures:
    """`rate` records a second, ten times as many for a while, and then as before."""
    partitions = 4
    deployment.create(deployment.topic, partitions)
    worker = deployment.ready(deployment.start())
    start, _ = memory(worker)
    sent = 0

    def send(a_second: int) -> None:
        nonlocal sent
        for _ in range(seconds):
            due = time.monotonic() + 1
            deployment.produce(a_second, partitions=partitions, first=sent)
            sent += a_second
            time.sleep(max(due - time.monotonic(), 0))

    send(rate)
    send(10 * rate)
    behind = sent - masked_by(worker)
    middle, _ = memory(worker)
    over = time.monotonic()
    until(lambda: sent - masked_by(worker) <= rate // 10, 300)
    took = time.monotonic() - over
    send(rate)
    until(lambda: masked_by(worker) == sent, 60)
    now, peak = memory(worker)
    more = f"{behind:,} behind at its end, caught up {took:.1f} s later"
    return Figures(
        name=f"{rate:,}/s, {10 * rate:,}/s for {seconds} s",
        records=sent,
        seconds=3 * seconds + took,
        start=start,
        middle=middle,
        peak=peak,
        end=now,
        more=more,
    )


def _topics(deployment: Deployment, number: int) -> dict[str, int]:
    return {f"{deployment.topic}.t{each:03d}": 1 for each in range(number)}


SCENARIOS: dict[str, Callable[[Deployment], Figures]] = {
    "poison": lambda deployment: poison(deployment, 300_000),
    "large": lambda deployment: backlog(
        "10 MB records, compressed", deployment, {deployment.topic: 8}, 64, large, compression="gzip"
    )[1],
    "wide": lambda deployment: backlog("5,000 columns, always others", deployment, {deployment.topic: 4}, 800, wide)[1],
    "topics": lambda deployment: backlog("200 topics", deployment, _topics(deployment, 200), 1_000_000)[1],
    "hot": lambda deployment: hot(deployment, 400_000, 1)[0],
    "hot8": lambda deployment: hot(deployment, 400_000, 8)[0],
    "burst": lambda deployment: burst(deployment, 3000, 10),
}


def main(names: Iterable[str]) -> None:
    """Runs the scenarios of these names, or all."""
    print(HEADING, flush=True)
    with tempfile.TemporaryDirectory() as directory, Stack(Path(directory) / "stack") as stack:
        stack.up("postgres", "kafka")
        for name in list(names) or SCENARIOS:
            home = Path(directory) / name
            home.mkdir()
            deployment = Deployment.make(stack, home, name)
            try:
                print(SCENARIOS[name](deployment), flush=True)
            finally:
                deployment.close()
        stack.wipe()


if __name__ == "__main__":
    main(sys.argv[1:])
