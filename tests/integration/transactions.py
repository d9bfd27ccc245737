"""Transactions that are open: one of somebody else, and those of the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from cdc_masker.kafka.steps import Step
from tests.chaos.fleet import Member
from tests.integration.kit import Deployment, until
from tests.kafka import partitions_of


@contextmanager
def open_transaction(deployment: Deployment) -> Iterator[None]:
    """Somebody's transaction in the audit topic, as of a lane whose worker died: it hides what others commit behind it."""

    async def begin() -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=deployment.stack.kafka_brokers,
            transactional_id=f"{deployment.name}-other",
            transaction_timeout_ms=300_000,
        )
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait(deployment.environment["CDC_MASKER_AUDIT_TOPIC"], b"aborted", partition=0)
        return producer

    async def end(producer: AIOKafkaProducer) -> None:
        await producer.abort_transaction()
        await producer.stop()

    with asyncio.Runner() as runner:
        producer = runner.run(begin())
        try:
            yield
        finally:
            runner.run(end(producer))


def open_partitions(deployment: Deployment) -> dict[int, int]:
    """The partitions of the masked topic in which a transaction is open, with the offset at which it began."""

    async def ends(isolation: str) -> dict[int, int]:
        topic = deployment.masked_topic()
        async with AIOKafkaConsumer(bootstrap_servers=deployment.stack.kafka_brokers, isolation_level=isolation) as consumer:
            if topic not in await consumer.topics():  # no worker has started yet
                return {}
            partitions = await partitions_of(consumer, topic)
            return {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}

    written, stable = asyncio.run(ends("read_uncommitted")), asyncio.run(ends("read_committed"))
    return {partition: stable[partition] for partition, end in written.items() if stable[partition] < end}


def stop_in_transaction(deployment: Deployment, member: Member, produce: Callable[[], None]) -> None:
    """Stops a worker (SIGSTOP) in its third batch of what `produce` writes, all of which is written and not committed."""
    member.arm(Step.CONFIRMED, 3)
    produce()
    until(lambda: member.stopped, 30, member.worker.log.read_text)
    assert open_partitions(deployment)
