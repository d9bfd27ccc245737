"""What a lane does before it masks, in the order which makes it exactly once:

1. make sure that the output has the partition, and that all of it is made with keys of one epoch;
2. start the publisher: that ends the work of every earlier one and settles its open transaction;
3. only then read the committed offset and decide where to go on; an offset that stays in a transaction that Kafka does not end
   is ended first (`kafka.hanging`), and one that Kafka brought back from before is passed over (`kafka.setback`);
4. compare the head of the audit chain, which is stored with the offset, with the audit's last row; rows that are still on their
   way are awaited while masking goes on.

What always holds: what fails leaves no publisher behind; a server that is away is waited for; what needs somebody to act is
raised as `PartitionHalted`, `SetupError` or `PolicyError`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import TransientError, UnverifiedError
from cdc_masker.kafka import steps
from cdc_masker.kafka.batch import Span
from cdc_masker.kafka.checkpoints import Resumption, check_epoch, check_head, halted_by_audit, resume
from cdc_masker.kafka.hanging import end_hanging
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.publisher import Publisher
from cdc_masker.kafka.rights import described
from cdc_masker.kafka.setback import pass_over
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.topics import Output
from cdc_masker.kafka.wire import UnstableOffset
from cdc_masker.policies import Policy

__all__ = ["Opened", "compare_later", "open_partition"]

_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a partition is masked with, and where that goes on.

    `largest` is the most bytes of a record batch that the output takes, `began` the policy whose shape its rows have,
    `incarnation` the id of the source topic, `span` what of it is to be masked; `compared` tells whether all rows of the audit
    were there to compare.
    """

    publisher: Publisher
    largest: int
    began: Policy
    incarnation: str
    resumption: Resumption
    span: Span
    compared: bool


async def open_partition(parts: Parts, partition: TopicPartition, log: PartitionLog) -> Opened:
    """Steps 1 to 4, again and again while a server is away. Who gets it has to stop the publisher."""
    unstable_since: float | None = None
    for seconds in _backoff():
        now = time.monotonic()
        hangs = unstable_since is not None and now - unstable_since > parts.settings.transaction_timeout
        try:
            return await _open(parts, partition, log, hangs=hangs)
        except UnstableOffset:
            unstable_since = now if unstable_since is None or hangs else unstable_since
            log.warning("%s[%d] can't be opened before its last transaction is settled; trying again", *partition)
            await asyncio.sleep(seconds)
        except (KafkaError, TransientError, UnverifiedError, TimeoutError) as error:
            unstable_since = None
            log.warning("%s[%d] can't be opened yet (%s); trying again", *partition, described(error))
            await asyncio.sleep(seconds)
    raise AssertionError("the back-off has no end")


async def compare_later(parts: Parts, partition: TopicPartition, opened: Opened, log: PartitionLog) -> None:
    """Compares the audit with what was resumed from once all of it has arrived. Raises `PartitionHalted`."""
    chain = parts.settings.generation, opened.incarnation, partition.topic, partition.partition
    for seconds in _backoff():
        try:
            await parts.lag.settle()
            through = await parts.audit.ending_at(*chain, opened.resumption.offset - 1)
            if not check_head(*partition, resumption=opened.resumption, audited=through):
                raise halted_by_audit(*partition)
            return
        except (KafkaError, TransientError) as error:
            log.warning("%s[%d]: the audit can't be compared yet (%s); trying again", *partition, type(error).__name__)
            await asyncio.sleep(seconds)


async def _open(parts: Parts, partition: TopicPartition, log: PartitionLog, *, hangs: bool) -> Opened:
    generation = parts.settings.generation
    output = await parts.topics.ensure_output(partition.topic)
    live = (await parts.generations.register(generation, [partition.topic], parts.maskers.policy))[partition.topic]
    check_epoch(*partition, generation=generation, began=live.key_epoch, used=parts.maskers.policy.key_epoch)
    began = await parts.maskers.beginning(live.policy_version)
    parts.maskers.get(output.largest, began)  # so that rows which can't keep their shape halt it here
    steps.reach(Step.PREPARED)
    publisher = Publisher(parts.settings, partition, output)
    try:
        async with parts.starting:
            await asyncio.wait_for(publisher.start(), parts.settings.transaction_timeout)
        steps.reach(Step.FENCED)
        # Who closes a generation ends its publishers after that, and this one may have come later.
        await parts.generations.register(generation, [partition.topic], parts.maskers.policy)
        ended = hangs and await end_hanging(parts, partition, publisher, output, log)
        incarnation, resumption, span, compared = await _find(parts, partition, publisher, output, log)
        if ended and not compared:  # all rows were there before
            raise halted_by_audit(*partition)
    except BaseException:
        await publisher.stop()
        raise
    return Opened(publisher, output.largest, began, incarnation, resumption, span, compared)


async def _find(
    parts: Parts, partition: TopicPartition, publisher: Publisher, output: Output, log: PartitionLog
) -> tuple[str, Resumption, Span, bool]:
    """The incarnation, where to go on in it, what of it is to be masked, and whether the audit ends there."""
    committed = (await parts.cluster.committed(parts.settings.group, [partition])).get(partition)
    incarnation = await parts.topics.incarnation(partition.topic)
    if committed is None:
        await parts.lag.settle()  # what was published before the fence is in PostgreSQL after this
    audited = await parts.audit.last(parts.settings.generation, incarnation, *partition)
    masked_before = False
    if committed is None and audited is None:
        masked_before = await parts.cluster.has_records(TopicPartition(output.topic, partition.partition))
    span = parts.course.span(partition, incarnation, begun=committed is not None or audited is not None)
    earliest, end = parts.held.get(partition) or await parts.cluster.bounds(partition)
    resumption = resume(
        *partition,
        incarnation=incarnation,
        committed=committed,
        audited=audited,
        masked_before=masked_before,
        earliest=earliest,
        end=end,
        span=span,
    )
    if audited is not None and audited.last_offset >= resumption.offset:
        resumption = await pass_over(parts, partition, incarnation, publisher, output, resumption, log)
    compared = check_head(*partition, resumption=resumption, audited=audited)
    return incarnation, resumption, parts.course.after(resumption.policy, span), compared


def _backoff() -> Iterable[float]:
    yield from _BACKOFF_SECONDS
    while True:
        yield _BACKOFF_SECONDS[-1]
