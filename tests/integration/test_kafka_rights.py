"""With the rights in Kafka that docs/operations.md names, and no others, a worker masks, and somebody may accept a loss."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokafka.protocol.admin import CreateAclsRequest

from cdc_masker.stack import Stack, java
from tests.integration.kit import Deployment, free_port, until
from tests.integration.test_offsets_command import accept
from tests.integration.test_worker import delete_records, halted
from tests.kafka import administrator

pytestmark = pytest.mark.stack

TOPIC, GROUP, TRANSACTIONAL_ID = 2, 3, 5
LITERAL, PREFIXED = 3, 4
READ, WRITE, CREATE, ALTER, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 7, 8, 10
ALLOW = 3
USER = "masker"


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stack, int]]:
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

    monkeypatch.setattr(java, "write_properties", with_users)
    with Stack(tmp_path / "stack") as stack:
        stack.up("postgres", "kafka")
        yield stack, port


def allow(stack: Stack, *rights: tuple[int, int, str, int]) -> None:
    async def run() -> None:
        async with administrator(stack.kafka_brokers) as admin:
            for kind, pattern, name, right in rights:
                answer = await admin._send_request(CreateAclsRequest(kind, name, pattern, f"User:{USER}", "*", right, ALLOW))
                assert [error[0] for error in answer.creation_responses] == [0]

    asyncio.run(run())


def test_a_loss_is_accepted_with_the_rights_of_a_worker(guarded: tuple[Stack, int], tmp_path: Path) -> None:
    stack, port = guarded
    deployment = Deployment.make(
        stack,
        tmp_path,
        "shop",
        kafka_brokers=f"127.0.0.1:{port}",
        kafka_security="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_username=USER,
        kafka_password="pass",
    )
    own = ("shop.masked.", "shop.audit", "shop.quarantine")
    allow(
        stack,
        *((TOPIC, LITERAL, "shop.raw", right) for right in (READ, DESCRIBE_CONFIGS)),
        *((TOPIC, PREFIXED, name, right) for name in own for right in (READ, WRITE, CREATE, DESCRIBE_CONFIGS)),
        (TOPIC, PREFIXED, "shop.masked.", ALTER),
        (GROUP, LITERAL, "shop", READ),
        (GROUP, LITERAL, "shop.audit", READ),
        *((TRANSACTIONAL_ID, PREFIXED, "shop", right) for right in (WRITE, DESCRIBE)),
    )
    try:
        deployment.create(deployment.topic, 1)
        deployment.produce(10)
        worker = deployment.ready(deployment.start())
        until(lambda: deployment.audited() == 10, 30, worker.log.read_text)
        deployment.grow(deployment.topic, 2)
        until(lambda: deployment.partitions(deployment.masked_topic()) == 2, 30, worker.log.read_text)
        assert worker.kill(signal.SIGTERM) == 0

        deployment.produce(10, first=10)
        delete_records(deployment, deployment.topic, before=15)
        worker = deployment.ready(deployment.start())
        assert halted(worker) == {(deployment.topic, "out_of_range")}
        code, _, errors = accept(deployment, "--yes")
        assert code == 0, errors
        until(lambda: deployment.audited() == 15, 30, worker.log.read_text)
        assert not halted(worker)
    finally:
        deployment.close()
