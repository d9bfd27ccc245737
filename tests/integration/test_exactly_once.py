"""Each source record is masked exactly once and in order, and the audit covers it once, whatever dies when."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from cdc_masker.stack import Stack
from tests.chaos.fleet import Fleet
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import Deployment, Worker, until
from tests.integration.transactions import open_transaction, stop_in_transaction

pytestmark = pytest.mark.stack

PARTITIONS = 4
Deploy = Callable[..., Deployment]


def test_a_worker_is_killed_in_the_middle_of_a_transaction(deploy: Deploy) -> None:
    count = 200_000
    deployment = deploy(batch_records="1000")
    deployment.create(deployment.topic, PARTITIONS)
    fleet = Fleet(deployment, 2, {})
    survivor, victim = fleet.start(), fleet.start()
    until(lambda: [member.worker.lanes() for member in (survivor, victim)] == [2, 2], 60)
    deployment.ready(victim.worker)
    stop_in_transaction(deployment, victim, lambda: deployment.produce(count, partitions=PARTITIONS))
    victim.worker.kill()
    remaining = count - deployment.audited()
    assert remaining > count // 10, "the kill came too late to prove anything"

    deployment.start()
    expected = finish(deployment, count)
    everything = deployment.records(deployment.masked_topic(), isolation="read_uncommitted")
    assert len(everything) > count, "what the transaction that was open at the kill had written is not in the log"
    assert_covered(deployment.audit(), expected)
    until(lambda: covered_rows(deployment) == count, 20, lambda: f"{covered_rows(deployment)} of {count} in PostgreSQL")


def test_a_zombie_publishes_nothing(deploy: Deploy) -> None:
    count = 100_000
    deployment = deploy(batch_records="1000")
    deployment.create(deployment.topic, PARTITIONS)
    member = Fleet(deployment, 1, {}).start()
    zombie = deployment.ready(member.worker)
    stop_in_transaction(deployment, member, lambda: deployment.produce(count, partitions=PARTITIONS))
    deployment.start()
    until(lambda: deployment.audited() == count, 60, lambda: f"{deployment.audited()} of {count}", every=0.5)
    zombie.process.send_signal(signal.SIGCONT)
    deployment.produce(1000, partitions=PARTITIONS, first=count)
    expected = finish(deployment, count + 1000)
    assert_covered(deployment.audit(), expected)
    assert zombie.process.poll() in (None, 3)


def test_an_entry_behind_an_open_transaction_is_awaited_and_halts_nothing(deploy: Deploy) -> None:
    """What is committed is not visible while a transaction that began before it is open: one of a worker that died, say."""
    deployment = deploy()
    deployment.create(deployment.topic)
    first = deployment.ready(deployment.start())
    with open_transaction(deployment):
        deployment.produce(100)
        until(lambda: first.metric("cdc_masker_records_total") == 100, 30, first.log.read_text)
        assert first.kill(signal.SIGTERM) == 0
        second = deployment.ready(deployment.start())
        deployment.produce(100, first=100)
        until(lambda: second.metric("cdc_masker_records_total") == 100, 30, second.log.read_text)
        assert deployment.audit_rows() == []
    until(lambda: len(deployment.audit_rows()) == 2, 30, second.log.read_text)
    deployment.produce(100, first=200)
    until(lambda: deployment.audited() == 300, 30, second.log.read_text)
    assert "is halted" not in second.log.read_text()


def test_a_new_policy_takes_over_between_two_batches(deploy: Deploy) -> None:
    """Once while the worker runs, once with a restart: one clean cut for each partition and version."""
    deployment = deploy()
    deployment.create(deployment.topic, PARTITIONS)
    worker = deployment.ready(deployment.start())
    mask_under(deployment, worker, version=1)
    deployment.release("null")
    mask_under(deployment, worker, version=2)
    deployment.release("redact")
    assert worker.kill(signal.SIGTERM) == 0
    mask_under(deployment, deployment.ready(deployment.start()), version=3)
    finish(deployment, 12_000)
    for partition in range(PARTITIONS):
        versions = [record.policy for record in deployment.masked() if record.partition == partition]
        assert versions == [1] * 1000 + [2] * 1000 + [3] * 1000


def mask_under(deployment: Deployment, worker: Worker, *, version: int) -> None:
    """Has 4,000 more records masked once the worker uses this policy version."""
    until(lambda: worker.metric("cdc_masker_policy_version") == version, 15)
    deployment.produce(4000, partitions=PARTITIONS, first=4000 * (version - 1))
    until(lambda: deployment.audited() == 4000 * version, 30)


def test_kafka_restarts_in_the_middle(own_stack: Stack, deploy: Deploy) -> None:
    count = 100_000
    deployment = deploy(own_stack, batch_records="500")
    deployment.create(deployment.topic, PARTITIONS)
    deployment.produce(count, partitions=PARTITIONS)
    worker = deployment.ready(deployment.start())
    until(lambda: worker.metric("cdc_masker_records_total") > 0, 20, every=0.02)
    own_stack.kill("kafka")
    own_stack.start("kafka")
    assert count - deployment.audited() > 0
    if worker.process.poll() is not None:
        assert worker.process.returncode == 3
        deployment.start()
    expected = finish(deployment, count, seconds=90)
    assert_covered(deployment.audit(), expected)


def finish(deployment: Deployment, count: int, *, seconds: float = 60) -> dict[int, int]:
    """Waits for all records and checks that each is there once; gives the count of each partition."""

    def explain() -> str:
        return f"{deployment.audited()} of {count}\n" + "\n".join(
            worker.log.read_text()[-2000:] for worker in deployment.workers
        )

    until(lambda: deployment.audited() >= count, seconds, explain, every=0.5)
    expected = dict.fromkeys(range(PARTITIONS), count // PARTITIONS)
    assert_exactly_once(deployment.masked(), expected)
    return expected


def covered_rows(deployment: Deployment) -> int:
    return sum(last - first + 1 for _, first, last in deployment.audit_rows())
