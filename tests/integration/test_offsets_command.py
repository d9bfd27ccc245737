"""`cdc-masker offsets accept` on the real stack: lost records are put on record, and workers go on by themselves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import pytest
from aiokafka import TopicPartition

from cdc_masker.catalog import open_catalog
from cdc_masker.errors import SetupError
from cdc_masker.events import Acceptance, AuditEntry
from cdc_masker.evidence import head_of
from cdc_masker.kafka.accepting import Accepting
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Committed
from tests.integration.kit import Deployment, Worker, until
from tests.integration.test_worker import delete_records, halted, remake
from tests.migrations.kit import execute, query

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]
T = TypeVar("T")


class Forgetful(Cluster):
    """Kafka whose group was idle for too long."""

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition], *, settled: bool = True
    ) -> dict[TopicPartition, Committed]:
        return await super().committed(group if group.endswith(".audit") else f"{group}.never", partitions, settled=settled)


def accept(deployment: Deployment, *more: str) -> tuple[int, str, str]:
    """As somebody who may read the audit and no more of the catalog."""
    database = deployment.environment["CDC_MASKER_DATABASE_URL"]
    name = f"ann_{deployment.name}"
    if not query(database, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
        execute(database, f"CREATE ROLE {name} LOGIN PASSWORD 'pass' IN ROLE cdc_masker_auditor")
    url = f"postgresql://{name}:pass@{database.rpartition('@')[2]}"
    ann = replace(deployment, environment={**deployment.environment, "CDC_MASKER_DATABASE_URL": url})
    return ann.run("offsets", "accept", deployment.topic, "0", "--reason", "T-1: retention was too short", *more)


def ask(deployment: Deployment, question: Callable[[Accepting], Awaitable[T]], kind: type[Cluster] = Cluster) -> T:
    """Asks in this process."""

    async def run() -> T:
        settings = deployment.settings()
        async with open_catalog(settings) as catalog:
            cluster = kind(settings)
            await cluster.start()
            try:
                policy = await catalog.policies.current()
                partition = TopicPartition(deployment.topic, 0)
                return await question(Accepting(settings, cluster, catalog.audit, policy, partition))
            finally:
                await cluster.close()

    return asyncio.run(run())


def masked(deployment: Deployment) -> list[int]:
    return [record.offset for record in deployment.masked()]


def chains(deployment: Deployment) -> dict[str, list[AuditEntry]]:
    """The entries by incarnation, in order, each of which names the one before it and joins it."""
    found: dict[str, list[AuditEntry]] = {}
    for entry in deployment.audit():
        chain = found.setdefault(entry.incarnation, [])
        assert entry.previous == (head_of(chain[-1]) if chain else "")
        assert not chain or entry.first_offset == chain[-1].last_offset + 1
        chain.append(entry)
    return found


def verified(deployment: Deployment) -> str:
    until(lambda: len(deployment.audit_rows()) == len(deployment.audit()), 30)
    code, out, errors = deployment.run("audit", "verify")
    assert code == 0, out + errors
    return out


def running(deployment: Deployment, *, masks: int) -> Worker:
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == masks, 30, worker.log.read_text)
    until(lambda: worker.metric("cdc_masker_audit_lag") == 0, 20)
    return worker


def test_records_that_expired_are_accepted_and_the_chain_goes_on(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    worker = running(deployment, masks=10)
    code, _, errors = accept(deployment, "--yes")
    assert code == 2
    assert "masking can go on" in errors
    assert worker.kill(signal.SIGTERM) == 0

    deployment.produce(10, first=10)
    delete_records(deployment, deployment.topic, before=15)
    worker = deployment.ready(deployment.start())
    assert halted(worker) == {(deployment.topic, "out_of_range")}
    assert "cdc-masker offsets accept" in worker.log.read_text()

    code, out, _ = accept(deployment)  # nobody answers
    assert code == 1
    assert "offsets 10 to 14 are not in the log any more and were never masked" in out
    loss = ask(deployment, Accepting.look)
    assert ask(deployment, Accepting.look, Forgetful) == loss
    with pytest.raises(SetupError, match="is not as it was shown"):
        ask(deployment, lambda accepting: accepting.accept(replace(loss, last=15, resume=16), "ann", "T-1"))
    assert len(deployment.audit()) == 1

    code, out, errors = accept(deployment, "--yes")
    assert code == 0, errors
    assert f"accepted by ann_{deployment.name}" in out
    until(lambda: masked(deployment) == [*range(10), *range(15, 20)], 30, worker.log.read_text)
    assert not halted(worker)
    ((_, lost, _),) = chains(deployment).values()
    assert (lost.first_offset, lost.last_offset, lost.root, sum(lost.counts.values())) == (10, 14, "", 0)
    assert lost.accepted is not None
    assert lost.accepted == Acceptance(f"ann_{deployment.name}", "T-1: retention was too short")
    assert "not checked: 5 offsets that somebody accepted as lost" in verified(deployment)


def test_a_topic_that_was_made_anew_is_accepted_and_gets_a_chain_of_its_own(deploy: Deploy) -> None:
    """Under the eyes of a worker, which goes on by itself."""
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    worker = running(deployment, masks=10)
    remake(deployment, deployment.topic)
    deployment.produce(5, first=100)
    until(lambda: halted(worker) == {(deployment.topic, "other_incarnation")}, 30, worker.log.read_text)

    code, out, errors = accept(deployment, "--yes")
    assert code == 0, errors
    assert "the topic was deleted and made again" in out
    until(lambda: masked(deployment) == [*range(10), *range(5)], 30, worker.log.read_text)
    deployment.produce(5, first=105)
    until(lambda: masked(deployment) == [*range(10), *range(10)], 30, worker.log.read_text)
    old, new = chains(deployment).values()
    assert (old[-1].first_offset, old[-1].last_offset) == (10, 2**63 - 1)
    assert old[-1].accepted is not None
    assert old[-1].accepted.incarnation == new[0].incarnation
    assert (new[0].first_offset, new[0].previous) == (0, "")
    code, _, errors = accept(deployment, "--yes")
    assert code == 2
    assert "masking can go on" in errors
    verified(deployment)
