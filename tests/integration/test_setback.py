"""Committed offsets that a broker brought back from before: the worker goes on after the last entry, if all agree on that one.

Seen with a broker that was killed while a group's coordinator loaded its log. Here the offset is committed anew, as the group.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import head_of
from cdc_masker.kafka import starting
from cdc_masker.kafka.checkpoints import Checkpoint
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import Deployment, Worker, event, until

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]
Make = Callable[[int], tuple[bytes | None, bytes | None]]


@pytest.fixture
def masked(deploy: Deploy) -> Deployment:
    """500 records, masked in batches of 100 by a worker that was stopped."""
    deployment = deploy(batch_records="100")
    deployment.create(deployment.topic)
    mask(deployment, 500)
    return deployment


@pytest.mark.parametrize("offset", [100, 400])
def test_masking_goes_on_after_the_last_entry(masked: Deployment, offset: int) -> None:
    set_back(masked, offset)
    worker = mask(masked, 800)
    assert f"the committed offset is {offset} again, and batches up to offset 499 were published" in worker.log.read_text()
    assert_exactly_once(masked.masked(), {0: 800})
    assert_covered(masked.audit(), {0: 800})


def test_the_offset_is_committed_anew_though_nothing_is_to_be_masked(masked: Deployment) -> None:
    set_back(masked, 100)
    masked.ready(masked.start()).kill(signal.SIGTERM)
    assert "again" not in mask(masked, 500).log.read_text()


def test_an_offset_that_no_entry_ends_at_halts_the_partition(masked: Deployment) -> None:
    set_back(masked, 150, like=100)
    assert_halted(masked)


def test_an_offset_that_names_another_entry_halts_the_partition(masked: Deployment) -> None:
    set_back(masked, 100, head="sha256:" + 64 * "0")
    assert_halted(masked)


def test_rows_that_the_masked_copy_does_not_bear_out_pass_nothing_over(masked: Deployment) -> None:
    """As somebody would add them who may write into the audit, so that records are never masked."""
    asyncio.run(append(masked, later(masked.audit()[-1])))
    set_back(masked, 100)
    assert_halted(masked)


def test_a_row_that_begins_in_another_one_passes_nothing_over(masked: Deployment) -> None:
    """The masked copy ends with a record of it, too."""
    last = masked.audit()[-1]
    asyncio.run(append(masked, replace(later(last), first_offset=last.last_offset - 10)))
    set_back(masked, 100)
    assert_halted(masked)


def test_a_last_batch_of_which_nothing_was_published_halts_the_partition(deploy: Deploy) -> None:
    """The masked copy can't bear it out."""
    deployment = deploy(batch_records="100")
    deployment.create(deployment.topic)
    mask(deployment, 200)
    mask(deployment, 300, make=lambda number: (event(number)[0], b"no JSON"))
    set_back(deployment, 100)
    assert_halted(deployment, there=200)


def mask(deployment: Deployment, count: int, make: Make = event) -> Worker:
    """Has so many records masked in all; then the worker is stopped."""
    there = deployment.end_offsets(deployment.topic).get(0, 0)
    deployment.produce(count - there, first=there, make=make)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == count, 60, lambda: worker.log.read_text()[-3000:])
    until(lambda: len(deployment.audit_rows()) == len(deployment.audit()), 30)
    assert worker.kill(signal.SIGTERM) == 0  # so that it leaves the group, and the test may commit for it
    return worker


def set_back(deployment: Deployment, offset: int, *, like: int | None = None, head: str | None = None) -> None:
    """Commits an offset with what was committed with it then, or with `like`."""
    named = next(entry for entry in deployment.audit() if entry.last_offset == (like or offset) - 1)
    checkpoint = Checkpoint(head=head or head_of(named), policy=named.policy_version, incarnation=named.incarnation)
    partition = TopicPartition(deployment.topic, 0)

    async def commit() -> None:
        settings = deployment.settings()
        consumer = AIOKafkaConsumer(**settings.kafka_client(), group_id=settings.group, enable_auto_commit=False)
        consumer.assign([partition])
        await consumer.start()
        try:
            await consumer.commit({partition: OffsetAndMetadata(offset, checkpoint.encode())})
        finally:
            await consumer.stop()

    asyncio.run(commit())


def later(last: AuditEntry) -> AuditEntry:
    """An entry that follows the last one, of a batch that nobody masked."""
    counts = {**last.counts, Fate.MASKED: 100}
    return replace(
        last, first_offset=last.last_offset + 1, last_offset=last.last_offset + 100, counts=counts, previous=head_of(last)
    )


async def append(deployment: Deployment, entry: AuditEntry) -> None:
    async with AsyncExitStack() as resources:
        parts, _ = await starting.start(deployment.settings(), resources)
        assert await parts.audit.append([entry]) == 1


def assert_halted(deployment: Deployment, there: int = 500) -> None:
    """The partition is, and nothing is masked of it."""
    deployment.produce(100, first=deployment.end_offsets(deployment.topic)[0])
    worker = deployment.start()
    until(lambda: 'code="audit_mismatch"' in worker.page("metrics")[1], 60, worker.log.read_text)
    assert_exactly_once(deployment.masked(), {0: there})
