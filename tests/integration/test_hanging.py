"""A transaction of which Kafka settled the records and the audit entry, and not the source offset: the worker ends it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cdc_masker.kafka import starting
from cdc_masker.kafka.auditing import AuditCopier
from cdc_masker.kafka.checkpoints import PartitionHalted
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.opening import open_partition
from cdc_masker.kafka.wire import UnstableOffset
from cdc_masker.stack import Stack
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import Deployment, Worker, event, until
from tests.integration.transactions import open_transaction
from tests.kafka import administer

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]
Make = Callable[[int], tuple[bytes | None, bytes | None]]

PARTLY = """
import os
import signal
from aiokafka.producer.transaction_manager import TransactionManager
from cdc_masker import worker
from cdc_masker.kafka import steps

def forgotten(self):
    for group, _offsets, _future in self._pending_txn_offsets:
        self._txn_consumer_group = group  # as if the coordinator knew of it: it never settles the offset

def reach(step):
    if step == "{end}":
        os.kill(os.getpid(), signal.SIGKILL)

TransactionManager.consumer_group_to_add = forgotten
steps.reach = reach
worker.run("info")
"""
"""A worker whose transactions hold its records, and their offsets only as far as the group's coordinator knows. It dies at a
step.
"""


@pytest.fixture
def unverified(kafka: Stack) -> Iterator[None]:
    """Has the broker take offsets of transactions that don't hold them, which it else refuses."""
    name = "transaction.partition.verification.enable"

    def say(settings: dict[str, str]) -> None:
        broker = ConfigResource(ConfigResourceType.BROKER, "1", settings)
        answers = administer(kafka.kafka_brokers, lambda admin: admin.alter_configs([broker]))
        assert all(each[0] == 0 for answer in answers for each in answer.resources), answers

    say({name: "false"})
    yield
    say({name: "true"})


@pytest.mark.parametrize("before", [0, 3000])
@pytest.mark.parametrize(("end", "more"), [("committed", 2000), ("flushed", 0)])
def test_a_transaction_that_kafka_settled_in_part_is_ended(
    deploy: Deploy, unverified: None, before: int, end: str, more: int
) -> None:
    """With a committed offset before it or none, and with records that were committed or aborted."""
    deployment = deploy(transaction_timeout="5")
    deployment.create(deployment.topic)
    if before:
        mask(deployment, deployment.start(), before)
    leave_hanging(deployment, end, before, before + 2000)

    mask(deployment, deployment.start(), before + 5000)

    assert not unstable(deployment)
    assert_exactly_once(deployment.masked(), {0: before + 5000})
    assert_covered(deployment.audit(), {0: before + 5000})
    assert [entry.last_offset for entry in deployment.audit()].count(before + more - 1) == bool(before + more)


def test_what_the_audit_does_not_know_is_not_masked_again(deploy: Deploy, unverified: None) -> None:
    deployment = deploy(transaction_timeout="5")
    deployment.create(deployment.topic)
    mask(deployment, deployment.start(), 1000)
    leave_hanging(deployment, "committed", 1000, 2000)

    worker = deployment.start()
    until(lambda: len(deployment.audit_rows()) == len(deployment.audit()), 20)
    lose_rows(deployment, since=1000)
    until(lambda: 'code="audit_mismatch"' in worker.page("metrics")[1], 60, worker.log.read_text)
    assert_exactly_once(deployment.masked(), {0: 2000})


def test_what_an_audit_that_lost_all_its_rows_does_not_know_is_not_masked_again(deploy: Deploy, unverified: None) -> None:
    """Nor until the comparison beside masking finds it: the partition does not open, so it is opened here, and no more."""
    deployment = deploy(transaction_timeout="5")
    deployment.create(deployment.topic)
    mask(deployment, deployment.start(), 1000)
    leave_hanging(deployment, "committed", 1000, 2000)

    with pytest.raises(PartitionHalted, match="the audit in the catalog does not end"):
        asyncio.run(open_without_rows(deployment))
    assert not unstable(deployment)


def test_entries_behind_the_open_transaction_of_another_are_awaited(deploy: Deploy, unverified: None) -> None:
    """A batch of which nothing is published but notes: only the audit tells that it was committed."""
    deployment = deploy(transaction_timeout="5")
    deployment.create(deployment.topic)
    mask(deployment, deployment.start(), 1000)
    with open_transaction(deployment):
        leave_hanging(deployment, "committed", 1000, 1500, make=lambda number: (event(number)[0], b"no JSON"))
        worker = deployment.start()
        until(lambda: "it is ended when the audit is complete" in worker.log.read_text(), 60, worker.log.read_text)
        time.sleep(3)  # nothing happens: that is to be seen
        assert "masking from" not in worker.log.read_text()
    until(lambda: "masking from offset 1500" in worker.log.read_text(), 60, worker.log.read_text)
    assert_covered(deployment.audit(), {0: 1500})
    assert len(deployment.records(deployment.environment["CDC_MASKER_QUARANTINE_TOPIC"])) == 500


def leave_hanging(deployment: Deployment, end: str, done: int, count: int, make: Make = event) -> None:
    """Has records masked, all in one transaction, by a worker of which Kafka does not settle the offset."""
    script = deployment.home / "partly.py"
    script.write_text(PARTLY.format(end=end))
    deployment.produce(count - done, first=done, make=make)
    worker = deployment.start(by=str(script))
    worker.process.wait(60)
    assert unstable(deployment), worker.log.read_text()


def lose_rows(deployment: Deployment, since: int) -> None:
    """Deletes the rows of the audit that end there or later, as a superuser can."""
    deployment.stack.sql(
        "ALTER EVENT TRIGGER cdc_masker_guard_alter DISABLE; ALTER TABLE cdc_masker.audit_entry DISABLE TRIGGER ALL; "
        f"DELETE FROM cdc_masker.audit_entry WHERE last_offset >= {since}",
        database=deployment.name,
    )


async def open_without_rows(deployment: Deployment) -> None:
    """Opens the partition as a worker does, when all entries were copied into the audit and all of its rows are lost."""
    async with asyncio.timeout(60), AsyncExitStack() as resources:
        parts, _ = await starting.start(deployment.settings(), resources)
        for beside in (parts.lag.run(), AuditCopier(parts.settings, parts.audit).run()):
            resources.callback(asyncio.create_task(beside).cancel)
        await parts.lag.settle()
        await asyncio.to_thread(lose_rows, deployment, since=0)
        log = PartitionLog(logging.getLogger(__name__), deployment.topic, 0)
        opened = await open_partition(parts, TopicPartition(deployment.topic, 0), log)
        await opened.publisher.stop()


def mask(deployment: Deployment, worker: Worker, count: int) -> Worker:
    """Has so many records masked in all; then the worker is killed."""
    there = deployment.end_offsets(deployment.topic)[0]
    deployment.produce(count - there, first=there)
    until(lambda: deployment.audited() == count, 90, lambda: worker.log.read_text()[-3000:], every=0.3)
    worker.kill()
    return worker


def unstable(deployment: Deployment) -> bool:
    """Whether a transaction that holds the partition's offset is not settled."""

    async def look() -> bool:
        cluster = Cluster(deployment.settings())
        await cluster.start()
        try:
            await cluster.committed(deployment.settings().group, [TopicPartition(deployment.topic, 0)])
        except UnstableOffset:
            return True
        finally:
            await cluster.close()
        return False

    return asyncio.run(look())
