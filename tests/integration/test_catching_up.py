"""What is fetched for a lane that has caught up, and for one that is behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition

from benchmarks.peers.loop import Reader
from cdc_masker.kafka.batch import Batch
from tests.integration.kit import Deployment

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]
_ROOM = 1 << 20


async def batch_of(reader: Reader, partition: TopicPartition) -> Batch:
    """The next one with records."""
    async with asyncio.timeout(30):
        while True:
            for batch in await reader.batches([partition], {}, _ROOM, 1.0):
                if batch.records:
                    return batch


def test_all_that_comes_while_a_lane_that_has_caught_up_is_busy_is_one_batch(deploy: Deploy) -> None:
    """Else the first of it would wait in the consumer, and what comes later for a transaction more."""
    deployment = deploy(batch_records="10")
    deployment.create(deployment.topic)
    deployment.produce(15)
    asyncio.run(take_in_turn(deployment))


async def take_in_turn(deployment: Deployment) -> None:
    partition = TopicPartition(deployment.topic, 0)
    reader = Reader(deployment.settings())
    async with reader._ensure_consumer() as consumer:
        consumer.assign([partition])
        reader.go_on_at(partition, 0, 1)
        first = await batch_of(reader, partition)
        assert (first.end, first.behind) == (10, True)
        second = await batch_of(reader, partition)
        assert (second.end, second.behind) == (15, False)
        for count, number in ((3, 15), (4, 18)):
            await asyncio.to_thread(deployment.produce, count, first=number)
            assert await reader.batches([], {}, _ROOM, 0.5) == []
        third = await batch_of(reader, partition)
        assert (third.start, third.end, third.behind) == (15, 22, False)
