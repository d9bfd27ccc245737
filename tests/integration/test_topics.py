"""Topics and logs as an administrator sees them, many at once, on real brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition

from cdc_masker.errors import SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.topics import Output, Topics
from cdc_masker.settings import Settings
from tests.integration.kit import Deployment

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]


@asynccontextmanager
async def cluster_of(deployment: Deployment) -> AsyncIterator[tuple[Cluster, Settings, list[Any]]]:
    """A cluster, and every request that it sends."""
    settings = deployment.settings()
    cluster = Cluster(settings)
    await cluster.start()
    client = cluster._admin._client
    sent, send = [], client.send

    async def spy(node: Any, request: Any, **more: Any) -> Any:
        sent.append(request)
        return await send(node, request, **more)

    client.send = spy
    try:
        yield cluster, settings, sent
    finally:
        await cluster.close()


def test_many_topics_take_as_many_requests_as_one(deploy: Deploy) -> None:
    deployment = deploy()
    sources = [f"{deployment.topic}.{number:02d}" for number in range(40)]
    for topic in sources:
        deployment.create(topic, 2)
    wrong, missing = sources[0], f"{deployment.topic}.gone"
    deployment.create(deployment.masked_topic(wrong), 2, retention_ms="1000")

    async def look() -> None:
        async with cluster_of(deployment) as (cluster, settings, sent):
            topics = Topics(cluster, settings)
            made = await topics.ensure_outputs([*sources, missing])
            assert len(sent) <= 5, "all topics, settings of sources, new outputs, settings of old ones"
            refused = [source for source, output in made.items() if isinstance(output, SetupError)]
            assert refused == [wrong, missing], "one that is wrong keeps no other from being made"
            sent.clear()
            good = [source for source in sources if source != wrong]
            again = await asyncio.gather(*(topics.ensure_output(source) for source in good))
            assert [output.topic for output in again] == [deployment.masked_topic(source) for source in good]
            assert {output.partitions for output in again if isinstance(output, Output)} == {2}
            assert len(sent) <= 6, "lanes that open at the same time ask together"
            with pytest.raises(SetupError, match="retention"):
                await topics.ensure_output(wrong)

    asyncio.run(look())


def test_a_partition_has_records_when_a_reader_would_be_given_one(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 3)
    deployment.produce(3, partitions=1, abort=True)
    deployment.produce(2, partitions=2, abort=True)
    deployment.produce(1, partitions=1, first=2, transactional=True)

    async def look() -> list[bool]:
        async with cluster_of(deployment) as (cluster, _settings, _sent):
            logs = [TopicPartition(deployment.topic, number) for number in range(3)]
            return await asyncio.gather(*(cluster.has_records(log) for log in logs * 2))

    assert asyncio.run(look()) == [True, False, False] * 2
