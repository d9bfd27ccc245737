"""What a publisher says when its transaction ends while it is being filled."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from cdc_masker.errors import TransientError
from cdc_masker.kafka.publisher import Fenced, Publication, Publisher, told
from cdc_masker.kafka.topics import Output
from tests.integration.kit import Deployment, until

Deploy = Callable[..., Deployment]


@pytest.mark.stack
def test_a_zombie_that_is_told_between_two_sends_is_fenced(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = deploy()
    settings = deployment.settings()
    for topic in (deployment.topic, deployment.masked_topic(), settings.audit_topic):
        deployment.create(topic)
    publication = Publication([(1, None, b"value", [])], [], b"entry", 1, 10, "")

    async def run() -> None:
        zombie, heir = (
            Publisher(settings, TopicPartition(deployment.topic, 0), Output(deployment.masked_topic(), 1, 1 << 20))
            for _ in range(2)
        )
        await zombie.start()
        await heir.start()
        producer = zombie._producer
        send_batch = producer.send_batch

        async def late(batch: object, topic: str, *, partition: int) -> object:
            if topic == deployment.masked_topic():
                await asyncio.wait([producer._txn_manager.wait_for_transaction_end()])
            return await send_batch(batch, topic, partition=partition)

        monkeypatch.setattr(producer, "send_batch", late)
        try:
            with pytest.raises(Fenced):
                await zombie.publish(publication, lambda: None)
            await heir.publish(publication, lambda: None)
        finally:
            await zombie.stop()
            await heir.stop()

    asyncio.run(run())
    until(lambda: len(deployment.records(deployment.masked_topic())) == 1, 20)
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_lost_connection_is_told_by_a_sentence_and_nothing_else_is() -> None:
    reset = KafkaConnectionError("10.0.0.1: closed")
    reset.__cause__ = ConnectionResetError()  # as aiokafka closes a connection
    assert isinstance(told(_wrapped(reset)), TransientError)
    assert isinstance(told(_wrapped(KafkaConnectionError("10.0.0.1: refused"))), TransientError)
    assert isinstance(told(KafkaConnectionError("10.0.0.1: refused")), TransientError)
    for other in (_wrapped(ValueError("a value")), UnknownTopicOrPartitionError()):
        assert told(other) is other


def _wrapped(cause: Exception) -> KafkaError:
    """As the task of a producer ends."""
    middle, outer = KafkaError("FindCoordinator"), KafkaError("Unexpected error during batch delivery")
    middle.__cause__, outer.__cause__ = cause, middle
    return outer
