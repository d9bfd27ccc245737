"""A masker deployment for tests: a catalog of its own, topics of its own, workers as processes, and what they made.

Events are generated straight into Kafka as Debezium writes them, so that offsets and counts are known.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cdc_masker.catalog.commands import upgrade
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import decode_entry
from cdc_masker.keys import new_keyring, write
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Stack
from tests import kafka
from tests.integration.exactness import Masked

T = TypeVar("T")

CANARY = "Wilhelmina-Sardonyx"
"""In each generated event, in a column that is masked: must be in nothing that cdc-masker writes."""

POLICY = """
revision = "{revision}"
down_revision = {down}
branch_labels = {labels}
depends_on = None

from alembic import op


def upgrade():
"""


def event(number: int, *, name: str = CANARY) -> tuple[bytes, bytes]:
    """Key and value of an insert into shop.customers, as Debezium writes them without schemas."""
    key = b'{"id":%d}' % number
    value = (
        b'{"before":null,"after":{"id":%d,"name":"%s","born":12345,"note":"%s"},"source":{"version":"3.7.0.Final",'
        b'"connector":"postgresql","name":"shop","ts_ms":1700000000000,"snapshot":"false","db":"shop","sequence":"[]",'
        b'"schema":"shop","table":"customers","txId":700,"lsn":1000,"xmin":null},"transaction":null,"op":"c",'
        b'"ts_ms":1700000000001}'
    )
    return key, value % (number, name.encode(), b"x" * 40)


@dataclass
class Worker:
    """A worker process. Its log is a file, and so can be read when it is gone."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        pattern = re.compile(rf"^{name}(?:{{.*}})? (\S+)$", re.MULTILINE)
        return sum(map(float, pattern.findall(self.page("metrics")[1])))

    def lanes(self) -> int:
        """How many partitions it has."""
        return len(re.findall(r"^cdc_masker_consumer_lag{", self.page("metrics")[1], re.MULTILINE))

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal and waits for the end; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@dataclass
class Deployment:
    """One catalog, one application id, and the topics that match its pattern."""

    stack: Stack
    home: Path
    name: str
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    @classmethod
    def make(cls, stack: Stack, home: Path, name: str, **settings: str) -> Deployment:
        """Migrates a fresh catalog with a policy that masks `name` and keeps `id`, and writes a key file."""
        database = stack.create_database(name)
        write(new_keyring(), home / "keys.json")
        ours = {
            "CDC_MASKER_KAFKA_BROKERS": stack.kafka_brokers,
            "CDC_MASKER_DATABASE_URL": database.dsn,
            "CDC_MASKER_KEYS_FILE": str(home / "keys.json"),
            "CDC_MASKER_APP_ID": name,
            "CDC_MASKER_SOURCE_TOPICS": re.escape(name) + r"\.raw.*",
            "CDC_MASKER_OUTPUT_PREFIX": f"{name}.masked.",
            "CDC_MASKER_AUDIT_TOPIC": f"{name}.audit",
            "CDC_MASKER_QUARANTINE_TOPIC": f"{name}.quarantine",
            "CDC_MASKER_SESSION_TIMEOUT": "6",
            "CDC_MASKER_TOPIC_REFRESH": "1",
            "CDC_MASKER_POLICY_REFRESH": "0.5",
            "CDC_MASKER_WEB_PORT": str(free_port()),  # workers of replays take those behind it, and tests run side by side
            **{f"CDC_MASKER_{key.upper()}": value for key, value in settings.items()},
        }
        deployment = cls(stack, home, name, {**os.environ, **ours})
        deployment.release("redact")
        return deployment

    @property
    def topic(self) -> str:
        return f"{self.name}.raw"

    def masked_topic(self, topic: str | None = None) -> str:
        return f"{self.name}.masked.{topic or self.topic}"

    # Policy

    def release(self, method: str) -> None:
        """Releases a policy version in which `name` is masked by this method, or kept."""
        rule = f'op.mask_column("shop.customers", "name", method="{method}", reason="a name")'
        if method == "keep":
            rule = 'op.keep_column("shop.customers", "name", reason="the test looks for it")'
        self.say('op.keep_column("shop.customers", "id", reason="an identity without meaning")', rule)

    def say(self, *operations: str) -> None:
        """Releases a policy version by one more revision with these operations."""
        versions = self.home / "policies"
        versions.mkdir(exist_ok=True)
        number = len(list(versions.glob("*.py"))) + 1
        down = repr(f"p{number - 1}") if number > 1 else None
        text = POLICY.format(revision=f"p{number}", down=down, labels=None if down else ("policy",))
        text += "    op.allow_weaker('a test')\n" if down else ""
        (versions / f"p{number}.py").write_text(text + "".join(f"    {operation}\n" for operation in operations))
        upgrade(self.settings(), versions)

    def settings(self, **more: str) -> Settings:
        """The settings that its workers have."""
        ours = {
            key.removeprefix("CDC_MASKER_").lower(): value for key, value in self.environment.items() if "CDC_MASKER" in key
        }
        return load(**{**ours, **more})

    # Workers

    def start(self, *, by: str = "cdc-masker", level: str = "info", **settings: str) -> Worker:
        """Starts a worker, by `faust`, `cdc-masker`, as `supervised`, or by a Python script; more settings may be given."""
        port = free_port()
        log = self.home / f"worker-{len(self.workers)}.log"
        environment = {
            **self.environment,
            "CDC_MASKER_WEB_PORT": str(port),
            **{f"CDC_MASKER_{key.upper()}": value for key, value in settings.items()},
        }
        programs = Path(sys.executable).parent
        commands: dict[str, list[str | Path]] = {
            "cdc-masker": [programs / "cdc-masker", "worker", "-l", level],
            "supervised": [programs / "cdc-masker", "worker", "-l", level, "--restart"],
            "faust": [programs / "faust", "-A", "cdc_masker.worker", "worker", "-l", level],
        }
        command = commands.get(by) or [sys.executable, by]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.home, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        worker = Worker(process, log, port)
        self.workers.append(worker)
        return worker

    def ready(self, worker: Worker) -> Worker:
        """Waits until a worker is ready."""

        def answers() -> bool:
            assert worker.process.poll() is None, worker.log.read_text()
            return worker.page("ready")[0] == 200

        until(answers, 60, lambda: worker.log.read_text()[-3000:])
        return worker

    def close(self) -> None:
        """Ends every worker that still runs."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Runs another command of `cdc-masker`: exit code, standard output, standard error."""
        program = Path(sys.executable).parent / "cdc-masker"
        done = subprocess.run([program, *arguments], cwd=self.home, env=self.environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    # Topics

    def create(self, topic: str, partitions: int = 1, **settings: str) -> None:
        """Makes a topic that keeps its records however old they say they are; more settings may be given."""
        configs = {"retention.ms": "-1"} | {key.replace("_", "."): value for key, value in settings.items()}

        async def run(admin: Any) -> None:
            answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
            assert all(error[1] == 0 for error in answer.topic_errors), answer

        self._admin(run)

    def delete(self, topic: str) -> None:
        self._admin(lambda admin: admin.delete_topics([topic]))

    def grow(self, topic: str, partitions: int) -> None:
        self._admin(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)}))

    def partitions(self, topic: str) -> int:
        async def run(admin: Any) -> int:
            (described,) = await admin.describe_topics([topic])
            return len(described["partitions"])

        return self._admin(run)

    def topics(self) -> list[str]:
        found: list[str] = self._admin(lambda admin: admin.list_topics())
        return found

    def settings_of(self, topic: str) -> dict[str, str]:
        async def run(admin: Any) -> dict[str, str]:
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            return {entry[0]: entry[1] for entry in answer.resources[0][4]}

        return self._admin(run)

    def produce(
        self,
        count: int,
        *,
        topic: str | None = None,
        partitions: int = 1,
        first: int = 0,
        abort: bool = False,
        transactional: bool = False,
        make: Callable[[int], tuple[bytes | None, bytes | None]] = event,
    ) -> None:
        """Writes events, in turn to each partition; aborted ones take offsets that no masked record may have."""
        asyncio.run(self._produce(count, topic or self.topic, partitions, first, abort, transactional, make))

    async def _produce(
        self, count: int, topic: str, partitions: int, first: int, abort: bool, transactional: bool, make: Any
    ) -> None:
        identity = {"transactional_id": f"{self.name}-source"} if abort or transactional else {}
        producer = AIOKafkaProducer(
            bootstrap_servers=self.stack.kafka_brokers, max_batch_size=1 << 19, max_request_size=1 << 24, **identity
        )
        async with producer:
            if identity:
                await producer.begin_transaction()
            for partition in range(partitions):
                deliveries, batch = [], producer.create_batch()
                for number in range(first + partition, first + count, partitions):
                    key, value = make(number)
                    while batch.append(timestamp=1_700_000_000_000 + number, key=key, value=value) is None:
                        deliveries.append(await producer.send_batch(batch, topic, partition=partition))
                        batch = producer.create_batch()
                if batch.record_count():
                    deliveries.append(await producer.send_batch(batch, topic, partition=partition))
                await asyncio.gather(*deliveries)
            if identity:
                await (producer.abort_transaction() if abort else producer.commit_transaction())

    def _admin(self, action: Callable[[Any], Awaitable[T]]) -> T:
        return kafka.administer(self.stack.kafka_brokers, action)

    # What was made

    def masked(self, topic: str | None = None) -> list[Masked]:
        """The masked copy as a `read_committed` reader sees it now, in the order of each partition."""
        found = []
        for record in self.records(self.masked_topic(topic)):
            header = dict(item.split("=") for item in dict(record.headers)["cdc-masker"].decode().split(";"))
            assert header["v"] == "1"
            where = (record.partition, int(header["p"]), int(header["o"]), int(header["pv"]))
            found.append(Masked(*where, record.timestamp, record.key, record.value))
        return found

    def audit(self) -> list[AuditEntry]:
        """The audit topic's entries, in their order."""
        return [decode_entry(record.value) for record in self.records(self.environment["CDC_MASKER_AUDIT_TOPIC"])]

    def audited(self) -> int:
        """How many source records the entries in the audit topic cover."""
        return sum(sum(entry.counts.values()) for entry in self.audit())

    def audit_rows(self) -> list[tuple[int, int, int]]:
        """(partition, first offset, last offset) of each row in PostgreSQL."""
        rows = self.stack.sql(
            "select partition, first_offset, last_offset from cdc_masker.audit_entry order by 1, 2", database=self.name
        )
        return [tuple(map(int, row.split("|"))) for row in rows.split()]  # type: ignore[misc]

    def records(self, topic: str, *, isolation: str = "read_committed") -> list[Any]:
        """Every record that is there now."""
        return kafka.records(self.stack.kafka_brokers, topic, isolation)

    def end_offsets(self, topic: str) -> dict[int, int]:
        return kafka.end_offsets(self.stack.kafka_brokers, topic)


def until(
    condition: Callable[[], bool], seconds: float, explain: Callable[[], object] = lambda: "", *, every: float = 0.1
) -> None:
    """Waits for a condition; fails with an explanation when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
