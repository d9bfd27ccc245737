"""Where programs are measured: a stack of its own, a catalog with the policy, topics with events, and nothing left behind.

What always holds: all programs read the same records; each run has a catalog, topics and names of its own, so that none goes on
where another ended; what a run made is deleted when it is over.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from benchmarks.events import FIRST_MS, event
from benchmarks.policy import CUSTOMERS, operations
from cdc_masker.catalog.commands import upgrade
from cdc_masker.keys import new_keyring, write
from cdc_masker.settings import load
from cdc_masker.stack import Stack
from tests.kafka import administer

__all__ = ["Bed", "Run"]

Make = Callable[[int], tuple[bytes | None, bytes | None]]
"""Key and value of the record with this number."""

_CATALOG = "catalog"
_BATCH_BYTES = 16_384  # as a producer makes them unless it is told otherwise, Debezium's too
_LARGEST = 16 << 20
# The stack is made to start quickly: its broker never gets code that is compiled with all care. Here it works for long.
_BROKER_FLAGS = "-XX:TieredStopAtLevel=4 -Xmx1g"
_REVISION = """
from alembic import op

revision = "benchmark_0001"
down_revision = None
branch_labels = ("policy",)
depends_on = ("catalog_0001",)


def upgrade():
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one program: what it reads, and names that no other run has. `home` is a directory for its files."""

    name: str
    source: str
    home: Path
    environment: dict[str, str]
    """With the settings of a worker, and the brokers' address as `BROKERS`."""

    @property
    def target(self) -> str:
        """The topic that it writes."""
        return f"{self.name}.{self.source}"

    @property
    def brokers(self) -> str:
        return self.environment["CDC_MASKER_KAFKA_BROKERS"]

    @property
    def log(self) -> Path:
        return self.home / "log"


class Bed:
    """A running stack. `directory` must not be there yet; as a context manager it is wiped at the end."""

    def __init__(self, directory: Path, progress: Callable[[str], None]) -> None:
        self.directory = directory
        self.progress = progress
        self.stack = Stack(directory / "stack", progress)
        self.partitions: dict[str, int] = {}
        self._loaded: dict[str, int] = {}

    def __enter__(self) -> Bed:
        os.environ["_JAVA_OPTIONS"] = _BROKER_FLAGS
        try:
            self.stack.up("postgres", "kafka")
        finally:
            del os.environ["_JAVA_OPTIONS"]
        self.release(CUSTOMERS)
        write(new_keyring(), self.directory / "keys.json")
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.wipe()

    def release(self, document: Mapping[str, Any], catalog: str = _CATALOG) -> None:
        """Makes a catalog whose first policy version is that document."""
        self.progress("making the catalog")
        self.stack.create_database(catalog)
        policies = self.directory / f"{catalog}-policies"
        policies.mkdir()
        (policies / "first.py").write_text(_REVISION + "".join(f"    {operation}\n" for operation in operations(document)))
        upgrade(load(database_url=self.stack.database(catalog).dsn), policies)

    # Topics

    def create(self, topic: str, partitions: int, **settings: str) -> None:
        """Makes a topic that keeps its records whatever their time is, and whose files are gone soon after it."""
        configs = {
            "retention.ms": "-1",
            "max.message.bytes": str(_LARGEST),
            "file.delete.delay.ms": "100",
            **{name.replace("_", "."): value for name, value in settings.items()},
        }

        async def run(admin: Any) -> None:
            answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
            assert all(error[1] == 0 for error in answer.topic_errors), answer

        administer(self.stack.kafka_brokers, run)
        self.partitions[topic] = partitions

    def load(self, topic: str, count: int, *, first: int = 0, make: Make = event) -> None:
        """Writes `count` records, in turn to each partition, with the numbers from `first` on."""
        asyncio.run(self._load(topic, first, count, make))
        self._loaded[topic] = first + count

    def loaded(self, topic: str) -> int:
        """How many records were written to a topic."""
        return self._loaded.get(topic, 0)

    async def _load(self, topic: str, first: int, count: int, make: Make) -> None:
        partitions = self.partitions[topic]
        producer = AIOKafkaProducer(
            bootstrap_servers=self.stack.kafka_brokers, max_batch_size=_BATCH_BYTES, max_request_size=_LARGEST
        )
        async with producer:
            batches = [producer.create_batch() for _ in range(partitions)]
            for number in range(first, first + count):
                partition = number % partitions
                key, value = make(number)
                while batches[partition].append(timestamp=FIRST_MS + number, key=key, value=value) is None:
                    await producer.send_batch(batches[partition], topic, partition=partition)
                    batches[partition] = producer.create_batch()
                if not number % 10_000:
                    self.progress(f"writing events: {number - first:,} of {count:,}")
            for partition, batch in enumerate(batches):
                if batch.record_count():
                    await producer.send_batch(batch, topic, partition=partition)
            await producer.flush()

    # Runs

    @contextmanager
    def run(self, name: str, source: str, *, catalog: str = _CATALOG, **settings: str) -> Iterator[Run]:
        """Prepares a run, and deletes afterwards what it made. `settings` are a worker's."""
        home = self.directory / name
        home.mkdir()
        self.stack.sql(f'create database "{name}" template "{catalog}"')
        ours = {
            "database_url": self.stack.database(name).dsn,
            "kafka_brokers": self.stack.kafka_brokers,
            "keys_file": str(self.directory / "keys.json"),
            "app_id": name,
            "source_topics": re.escape(source),
            "output_prefix": f"{name}.",
            "audit_topic": f"{name}-audit",
            "quarantine_topic": f"{name}-quarantine",
            "session_timeout": "30",
            **settings,
        }
        run = Run(name, source, home, {**os.environ, **{f"CDC_MASKER_{key.upper()}": value for key, value in ours.items()}})
        self.create(run.target, self.partitions[source])
        try:
            yield run
        finally:
            administer(self.stack.kafka_brokers, lambda admin: self._delete(admin, name))
            self.stack.sql(f'drop database "{name}" with (force)')

    @staticmethod
    async def _delete(admin: Any, name: str) -> None:
        made = [topic for topic in await admin.list_topics() if re.match(rf"{re.escape(name)}[.-]", topic)]
        await admin.delete_topics(made)
