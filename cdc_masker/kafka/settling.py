"""Logs and offsets as they are once what is under way now is settled: a transaction that is being ended is waited for.

`deadline` is in the event loop's seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Committed

__all__ = ["committed", "settled"]

_LOOK_SECONDS = 0.5


async def committed(
    cluster: Cluster, group: str, partitions: Collection[TopicPartition], *, deadline: float
) -> Mapping[TopicPartition, Committed]:
    """Committed offsets; partitions without one are left out. Raises `KafkaError`."""
    while partitions:
        try:
            return await cluster.committed(group, partitions)
        except KafkaError as error:
            if not error.retriable or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_LOOK_SECONDS)
    return {}


async def settled(cluster: Cluster, partition: TopicPartition, *, deadline: float) -> tuple[int, int]:
    """The bounds of a log when all that was written by now is settled: until then an open transaction hides what others
    committed behind it. Raises `TransientError` when that takes too long, and `KafkaError`.
    """
    written = await cluster.end(partition)
    while True:
        first, end = await cluster.bounds(partition)
        if end >= written:
            return first, end
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(
                f"a transaction in {partition.topic}[{partition.partition}] is not settled yet, and hides what is behind it; "
                "try again later, or wait longer"
            )
        await asyncio.sleep(_LOOK_SECONDS)
