"""With the rights in Kafka that docs/operations.md names, and no others, a worker masks, and somebody may accept a loss."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from cdc_masker.errors import TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.failing import EXIT_FAILED
from cdc_masker.kafka.rights import described
from cdc_masker.kafka.topics import Output, Topics
from cdc_masker.stack import Stack, java
from tests.integration.kit import Deployment, free_port, until
from tests.integration.test_offsets_command import accept
from tests.integration.test_worker import delete_records, halted, start_only
from tests.kafka import administer, administrator

pytestmark = pytest.mark.stack

TOPIC, GROUP, TRANSACTIONAL_ID = 2, 3, 5
LITERAL, PREFIXED = 3, 4
READ, WRITE, CREATE, ALTER, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 7, 8, 10
ALLOW = 3
USER = "masker"
OWN = ("masked.", "audit", "quarantine")
LACKS = "the Kafka user lacks a right on topic"

Right = tuple[int, int, str, int]
"""Kind of resource, kind of pattern, name, and what is allowed."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, int]]:
    """A stack whose Kafka has a second door, at that port, where a user with a password may do what somebody allowed him."""
    port = free_port()
    write = java.write_properties

    def with_users(path: Path, properties: Mapping[str, object]) -> None:
        address = f",USERS://127.0.0.1:{port}"
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        own = {
            "listeners": f"{properties['listeners']}{address}",
            "advertised.listeners": f"{properties['advertised.listeners']}{address}",
            "listener.security.protocol.map": f"{properties['listener.security.protocol.map']},USERS:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.users.plain.sasl.jaas.config": f'{login} user_{USER}="pass";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        write(path, {**properties, **own})

    with pytest.MonkeyPatch.context() as patch, Stack(tmp_path_factory.mktemp("guarded") / "stack") as stack:
        patch.setattr(java, "write_properties", with_users)
        stack.up("postgres", "kafka")
        yield stack, port


def allow(stack: Stack, *rights: Right) -> None:
    async def run() -> None:
        async with administrator(stack.kafka_brokers) as admin:
            for kind, pattern, name, right in rights:
                answer = await admin._send_request(CreateAclsRequest(kind, name, pattern, f"User:{USER}", "*", right, ALLOW))
                assert [error[0] for error in answer.creation_responses] == [0]

    asyncio.run(run())


def withdraw(stack: Stack, right: Right) -> None:
    kind, pattern, name, what = right

    async def run(admin: Any) -> None:
        answer = await admin._send_request(DeleteAclsRequest(kind, name, pattern, f"User:{USER}", "*", what, ALLOW))
        assert [len(matching) for _, _, matching in answer.filter_responses] == [1]

    administer(stack.kafka_brokers, run)


@pytest.fixture
def masker(guarded: tuple[Stack, int], tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    """A deployment whose worker may do nothing yet."""
    stack, port = guarded
    deployment = Deployment.make(
        stack,
        tmp_path,
        unique("shop"),
        kafka_brokers=f"127.0.0.1:{port}",
        kafka_security="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_username=USER,
        kafka_password="pass",
    )
    yield deployment
    deployment.close()


def needed(deployment: Deployment) -> list[Right]:
    """What docs/operations.md names."""
    name = deployment.name
    return [
        *((TOPIC, LITERAL, deployment.topic, right) for right in (READ, DESCRIBE_CONFIGS)),
        *((TOPIC, PREFIXED, f"{name}.{own}", right) for own in OWN for right in (READ, WRITE, CREATE, DESCRIBE_CONFIGS)),
        (TOPIC, PREFIXED, f"{name}.masked.", ALTER),
        (GROUP, LITERAL, name, READ),
        (GROUP, LITERAL, f"{name}.audit", READ),
        *((TRANSACTIONAL_ID, PREFIXED, name, right) for right in (WRITE, DESCRIBE)),
    ]


def test_a_loss_is_accepted_with_the_rights_of_a_worker(masker: Deployment) -> None:
    publishing = (TOPIC, PREFIXED, f"{masker.name}.audit", WRITE)
    allow(masker.stack, *needed(masker))
    masker.create(masker.topic, 1)
    masker.produce(10)
    worker = masker.ready(masker.start())
    until(lambda: masker.audited() == 10, 30, worker.log.read_text)
    masker.grow(masker.topic, 2)
    until(lambda: masker.partitions(masker.masked_topic()) == 2, 30, worker.log.read_text)
    assert worker.kill(signal.SIGTERM) == 0

    masker.produce(10, first=10)
    delete_records(masker, masker.topic, before=15)
    worker = masker.ready(masker.start())
    assert halted(worker) == {(masker.topic, "out_of_range")}
    audit = masker.environment["CDC_MASKER_AUDIT_TOPIC"]
    for right, topic in (((TOPIC, LITERAL, masker.topic, DESCRIBE_CONFIGS), masker.topic), (publishing, audit)):
        withdraw(masker.stack, right)
        code, _, errors = accept(masker, "--yes")
        assert (code, f"({LACKS} {topic})" in errors) == (2, True), errors
        allow(masker.stack, right)
    code, _, errors = accept(masker, "--yes")
    assert code == 0, errors
    until(lambda: masker.audited() == 15, 30, worker.log.read_text)
    assert not halted(worker)


def test_a_right_that_is_missing_is_told_with_the_name_of_its_topic(masker: Deployment) -> None:
    """When a worker starts, when it copies the audit, reads, publishes, and when a source grew or came."""
    source, output, audit = masker.topic, masker.masked_topic(), masker.environment["CDC_MASKER_AUDIT_TOPIC"]
    late = describing, making, copying, reading, publishing, growing = (
        (TOPIC, LITERAL, source, DESCRIBE_CONFIGS),
        (TOPIC, PREFIXED, f"{masker.name}.masked.", CREATE),
        (TOPIC, PREFIXED, f"{masker.name}.audit", READ),
        (TOPIC, LITERAL, source, READ),
        (TOPIC, PREFIXED, f"{masker.name}.masked.", WRITE),
        (TOPIC, PREFIXED, f"{masker.name}.masked.", ALTER),
    )
    allow(masker.stack, *(right for right in needed(masker) if right not in late), (TOPIC, LITERAL, source, DESCRIBE))
    masker.create(source, 1)
    masker.produce(10)

    for missing, topic in ((describing, source), (making, output)):
        with pytest.raises(TransientError, match=f"{LACKS} {re.escape(topic)}\\)"):
            asyncio.run(start_only(masker.settings(startup_timeout="1")))
        allow(masker.stack, missing)

    worker = masker.start()
    assert worker.process.wait(60) == EXIT_FAILED
    assert f"copying the audit: {LACKS} {audit}; the process ends" in worker.log.read_text()
    allow(masker.stack, copying)

    worker = masker.start()
    until(lambda: f"may not read topic {source}; grant it Read" in worker.log.read_text(), 60, worker.log.read_text)
    allow(masker.stack, reading)
    assert worker.process.wait(60) == EXIT_FAILED
    assert f"publishing {source}[0] from offset 0: {LACKS} {output}; the process ends" in worker.log.read_text()
    allow(masker.stack, publishing)

    worker = masker.ready(masker.start())
    masker.grow(source, 2)
    until(lambda: f"{source}[1] can't be opened yet ({LACKS} {output})" in worker.log.read_text(), 60, worker.log.read_text)
    allow(masker.stack, growing)
    masker.produce(20, partitions=2, first=10)
    until(lambda: masker.audited() == 30, 60, worker.log.read_text)

    masker.create(another := f"{source}2")
    allow(masker.stack, (TOPIC, LITERAL, another, READ))
    until(lambda: f"topic {another} is not masked: {LACKS} {another}" in worker.log.read_text(), 30, worker.log.read_text)
    allow(masker.stack, *((TOPIC, LITERAL, third := f"{source}3", right) for right in (READ, DESCRIBE_CONFIGS)))
    masker.create(third)
    masker.produce(10, topic=third)
    until(lambda: masker.audited() == 40, 60, worker.log.read_text)


def test_a_right_that_is_missing_on_one_topic_holds_back_no_other(masker: Deployment) -> None:
    """Where outputs are asked for together, as by lanes that open at the same time."""
    told, making, looking, growing, _ = sources = [f"{masker.topic}{number}" for number in range(5)]
    lacking = {told: told, **{source: masker.masked_topic(source) for source in (making, looking, growing)}}
    needs: list[Right] = []
    for source in sources:
        output = masker.masked_topic(source)
        needs += [(TOPIC, LITERAL, source, right) for right in (READ, DESCRIBE_CONFIGS)]
        needs += [(TOPIC, LITERAL, output, right) for right in (WRITE, CREATE, DESCRIBE_CONFIGS, ALTER)]
        masker.create(source, 2)
        if source in (looking, growing):
            masker.create(output, 1)
    missing = [
        (TOPIC, LITERAL, lacking[source], right)
        for source, right in ((told, DESCRIBE_CONFIGS), (making, CREATE), (looking, DESCRIBE_CONFIGS), (growing, ALTER))
    ]
    allow(masker.stack, *(right for right in needs if right not in missing))

    async def ensure() -> list[Output | BaseException]:
        cluster = Cluster(masker.settings())
        await cluster.start()
        try:
            topics = Topics(cluster, masker.settings())
            return await asyncio.gather(*map(topics.ensure_output, sources), return_exceptions=True)
        finally:
            await cluster.close()

    *errors, made = asyncio.run(ensure())
    assert isinstance(made, Output), made
    assert made.partitions == 2
    assert [described(error) for error in errors if isinstance(error, BaseException)] == [
        f"{LACKS} {topic}" for topic in lacking.values()
    ]
    allow(masker.stack, *missing)
    assert all(isinstance(output, Output) for output in asyncio.run(ensure()))
