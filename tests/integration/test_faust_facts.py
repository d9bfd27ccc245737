"""What Faust and aiokafka do by default that would lose, repeat or show records, one test for each that applies here.

Elsewhere: order and aborted outputs in `test_exactly_once.py`, logs at DEBUG in `test_worker.py`, late batches in
`test_worker_parts.py`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import psutil
import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cdc_masker.evidence import head_of
from cdc_masker.kafka import wire
from cdc_masker.kafka.checkpoints import Checkpoint
from cdc_masker.stack import Stack
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import CANARY, Deployment, until
from tests.kafka import administer

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

FAILED = 3

BROKEN = """
from cdc_masker.pipeline import Masker
from cdc_masker.worker import run

begin = Masker.begin

def broken(self, records, *more):
    if any(record.offset == 25 for record in records):
        raise ValueError(records[0].value)  # as libraries do, with a value in its message
    return begin(self, records, *more)

Masker.begin = broken
run("debug")
"""


def test_aborted_source_records_are_not_masked_and_markers_leave_no_gap(deploy: Deploy) -> None:
    """Faust reads uncommitted data, and commits past records that markers surround."""
    deployment = deploy(batch_records="7")
    deployment.create(deployment.topic, 1)
    visible: list[int] = []
    at = 0
    for round_ in range(12):
        abort, count = round_ % 3 == 1, 10 + round_
        deployment.produce(count, first=at, abort=abort, transactional=not abort)
        visible += [] if abort else range(at, at + count)
        at += count + 1  # and the marker
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == len(visible), 30, worker.log.read_text)
    assert [record.offset for record in deployment.masked()] == visible
    until(lambda: position(deployment)[0] == at, 10, lambda: position(deployment))

    deployment.produce(7, first=at, transactional=True)  # one whole batch, and behind it the marker alone
    deployment.produce(5, first=at + 8, abort=True)
    until(lambda: deployment.audited() == len(visible) + 7, 30, worker.log.read_text)
    until(lambda: worker.metric("cdc_masker_consumer_lag") == 0, 10, lambda: worker.page("metrics")[1])


def test_a_bug_ends_the_worker_and_loses_nothing(deploy: Deploy) -> None:
    """Faust acknowledges a message whose agent raised, and goes on with the next."""
    deployment = deploy(batch_records="10")
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    script = deployment.home / "broken.py"
    script.write_text(BROKEN)
    worker = deployment.start(by=str(script))
    assert worker.process.wait(30) == FAILED
    told = worker.log.read_text()
    assert "ValueError" in told
    assert CANARY not in told
    assert position(deployment)[0] == 20
    assert [record.offset for record in deployment.masked()] == list(range(20))

    deployment.start()
    until(lambda: deployment.audited() == 100, 30)
    assert_exactly_once(deployment.masked(), {0: 100})
    assert_covered(deployment.audit(), {0: 100})


def test_a_delivery_that_fails_is_noticed(deploy: Deploy) -> None:
    """A send that is only enqueued fails unseen, and the offset is committed all the same."""
    deployment = deploy(batch_records="10")
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 10, 20)
    alter(deployment, deployment.masked_topic(), {"max.message.bytes": "500"})
    deployment.produce(50, first=10)
    assert worker.process.wait(30) == FAILED
    assert "MessageSizeTooLargeError" in worker.log.read_text()
    assert deployment.audited() == 10
    assert position(deployment)[0] == 10

    alter(deployment, deployment.masked_topic(), {"max.message.bytes": "1048588"})
    deployment.start()
    until(lambda: deployment.audited() == 60, 30)
    assert_exactly_once(deployment.masked(), {0: 60})


def test_only_our_transactions_commit_offsets(deploy: Deploy) -> None:
    """Faust commits by its own timer, without metadata, and past what is in flight."""
    deployment = deploy(batch_records="10")
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 100, 20)
    assert worker.kill(signal.SIGTERM) == 0  # as it stops, Faust commits what is left
    offset, metadata = position(deployment)
    checkpoint = Checkpoint.decode(metadata)
    assert offset == 100
    assert checkpoint is not None
    last = deployment.audit()[-1]
    assert checkpoint == Checkpoint(v=1, head=head_of(last), policy=1, incarnation=last.incarnation)


def test_a_commit_that_does_not_end_ends_the_worker(own_stack: Stack, deploy: Deploy) -> None:
    """aiokafka waits for a commit for ever."""
    deployment = deploy(own_stack, transaction_timeout="3", batch_records="100")
    deployment.create(deployment.topic, 1)
    deployment.produce(60_000)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() > 0, 20)
    broker = psutil.Process(listener(own_stack.kafka_brokers))
    broker.suspend()
    try:
        assert worker.process.wait(20) == FAILED
        assert "Kafka did not end it within 3 s" in worker.log.read_text()
    finally:
        broker.resume()
    deployment.start()
    until(lambda: deployment.audited() == 60_000, 60)
    assert_exactly_once(deployment.masked(), {0: 60_000})


def position(deployment: Deployment) -> tuple[int, str]:
    """The committed offset of partition 0 and its metadata."""

    name, partition = deployment.name, TopicPartition(deployment.topic, 0)
    found = administer(deployment.stack.kafka_brokers, lambda admin: wire.committed(admin._client, name, [partition]))
    return found[partition].offset, found[partition].metadata


def alter(deployment: Deployment, topic: str, settings: dict[str, str]) -> None:
    """Sets settings of a topic, those that it must have among them."""
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "message.timestamp.type": "CreateTime"}
    wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {**kept, **settings})
    administer(deployment.stack.kafka_brokers, lambda admin: admin.alter_configs([wanted]))


def listener(address: str) -> int:
    """The id of the process that listens there."""
    port = int(address.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return connection.pid
    raise AssertionError(f"nobody listens at {address}")
