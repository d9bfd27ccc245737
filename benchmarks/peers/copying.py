"""A copy without masking, on aiokafka alone: what reading and writing in transactions costs in Python.

Each partition has a task and a transactional producer of its own, as the worker has. Runs until it is told to stop.

Run: SOURCE=… TARGET=… GROUP=… BROKERS=host:port python -m benchmarks.peers.copying
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

_RECORDS = 2000  # in one transaction, as the worker's default


async def main() -> None:
    source, brokers = os.environ["SOURCE"], os.environ["BROKERS"]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        group_id=os.environ["GROUP"],
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    async with consumer:
        await consumer._client._wait_on_metadata(source)
        partitions = [TopicPartition(source, number) for number in sorted(consumer.partitions_for_topic(source) or ())]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        await asyncio.gather(*(_copy(consumer, partition) for partition in partitions))


async def _copy(consumer: Any, partition: TopicPartition) -> None:
    group, target = os.environ["GROUP"], os.environ["TARGET"]
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["BROKERS"], transactional_id=f"{group}-{partition.partition}", max_batch_size=1 << 20
    )
    async with producer:
        while True:
            records = (await consumer.getmany(partition, timeout_ms=500, max_records=_RECORDS)).get(partition)
            if records:
                async with producer.transaction():
                    await _write(producer, target, partition.partition, records)
                    await producer.send_offsets_to_transaction({partition: records[-1].offset + 1}, group)


async def _write(producer: Any, target: str, partition: int, records: list[Any]) -> None:
    batch, deliveries = producer.create_batch(), []
    for record in records:
        row = {"key": record.key, "value": record.value, "timestamp": record.timestamp}
        if batch.append(**row) is None:
            deliveries.append(await producer.send_batch(batch, target, partition=partition))
            batch = producer.create_batch()
            batch.append(**row)
    deliveries.append(await producer.send_batch(batch, target, partition=partition))
    await asyncio.gather(*deliveries)


if __name__ == "__main__":
    asyncio.run(main())
