"""Copies audit entries from the audit topic into PostgreSQL, and measures how far behind that is.

A service with a consumer group of its own, not a second Faust agent: so a rebalance of the source topics does not interrupt
it, PostgreSQL being away does not hold back a source partition, and its plain at-least-once offsets don't mix with offsets
that are committed in transactions.

What always holds: an offset is committed after its rows are in PostgreSQL; rows are idempotent, so entries that are read again
change nothing; only committed entries are read, so a row never tells of a batch that was not published.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from cdc_masker import evidence, metrics
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.events import AuditEntry
from cdc_masker.kafka import steps
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.lines import at
from cdc_masker.kafka.steps import Step
from cdc_masker.kafka.together import Together
from cdc_masker.ports import AuditStore
from cdc_masker.settings import Settings

__all__ = ["AuditCopier", "AuditLag"]

logger = logging.getLogger(__name__)

_ENTRIES_AT_ONCE = 500
_POLL_SECONDS = 0.5
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
_ROOM_SECONDS = 86_400.0
_ROOM_RETRY_SECONDS = 60.0
_MEASURE_SECONDS = 1.0
_OFFSETS_PER_ENTRY = 2  # an entry and the marker of its transaction


def group_of(settings: Settings) -> str:
    """The consumer group that copies the audit."""
    return f"{settings.app_id}.audit"


class AuditCopier:
    """Runs until it is cancelled. Any number of workers may run one: Kafka gives the topic's partitions to one of them."""

    def __init__(self, settings: Settings, store: AuditStore) -> None:
        self._settings = settings
        self._store = store
        self._consumer: Any = None
        self._room_is_due = 0.0

    async def run(self) -> None:
        """Copies for ever. Raises what is a bug or an entry that can't be read; a server that is away is waited for."""
        self._consumer = AIOKafkaConsumer(
            self._settings.audit_topic,
            **self._settings.kafka_client(),
            client_id=f"{self._settings.app_id}-audit",
            group_id=group_of(self._settings),
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # rows are idempotent and the topic keeps everything
            enable_auto_commit=False,
            session_timeout_ms=int(self._settings.session_timeout * 1000),
            heartbeat_interval_ms=int(self._settings.session_timeout * 1000 / 4),
        )
        await self._start()
        try:
            copied: dict[TopicPartition, int] = {}
            while True:
                await self._make_room()
                await self._copy(copied)
        finally:
            await self._consumer.stop()

    async def _start(self) -> None:
        while True:
            try:
                await self._consumer.start()
                return
            except KafkaError as error:
                logger.warning("the audit topic can't be read yet (%s); trying again", type(error).__name__)
                await asyncio.sleep(_POLL_SECONDS)

    async def _make_room(self) -> None:
        """Once a day. Without room of their own, rows are stored all the same."""
        if time.monotonic() < self._room_is_due:
            return
        seconds = _ROOM_SECONDS
        try:
            await self._store.make_room()
        except (TransientError, SetupError) as error:
            seconds = _ROOM_RETRY_SECONDS
            logger.warning("partitions of the audit can't be made ahead yet: %s; trying again in %g s", error, seconds)
        self._room_is_due = time.monotonic() + seconds

    async def _copy(self, copied: dict[TopicPartition, int]) -> None:
        """Copies what is there; `copied` holds the committed positions."""
        batches = await self._consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000), max_records=_ENTRIES_AT_ONCE)
        entries, problem = self._entries(record for records in batches.values() for record in records)
        if entries:
            steps.reach(Step.ENTRIES_READ)
            await self._store_all(entries)
            steps.reach(Step.ROWS_STORED)
        if problem is not None:
            raise problem
        try:
            # Positions, not offsets of entries: they move past the markers of transactions too.
            positions = {tp: await self._consumer.position(tp) for tp in self._consumer.assignment()}
            moved = {tp: position for tp, position in positions.items() if copied.get(tp) != position}
            if moved:
                await self._consumer.commit(moved)
                copied.clear()
                copied.update(positions)
                steps.reach(Step.COPIED)
        except (CommitFailedError, IllegalStateError):
            copied.clear()  # the partition went to another worker, which reads the same entries again
        except KafkaError as error:
            logger.warning("the position in the audit topic can't be stored yet (%s)", type(error).__name__)

    def _entries(self, records: Iterable[Any]) -> tuple[list[AuditEntry], SetupError | None]:
        """Those before the first record that is none, and what to say of that: whoever goes on behind it needs them stored."""
        entries: list[AuditEntry] = []
        for record in records:
            try:
                entries.append(evidence.decode_entry(record.value or b""))
            except (msgspec.DecodeError, RecursionError):
                return entries, SetupError(
                    f"offset {record.offset} of {record.topic} is no audit entry, so something other than a worker writes "
                    f"there; take its right to, and then move group {group_of(self._settings)} to offset {record.offset + 1} "
                    "while no worker runs"
                )
        return entries, None

    async def _store_all(self, entries: list[AuditEntry]) -> None:
        attempt = 0
        while True:
            try:
                await self._store.append(entries)
                return
            except (TransientError, SetupError) as error:
                seconds = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
                logger.warning("%d audit entries wait for the catalog: %s; trying again in %g s", len(entries), error, seconds)
                attempt += 1
                await asyncio.sleep(seconds)


class AuditLag:
    """How many entries are not in PostgreSQL yet. `bearable` is set while masking may go on.

    All lanes share the audit topic, and an open transaction of one hides what others commit behind it. So what counts is all
    that was written: it is settled, and copied, soon after the last of the transactions that are open now.
    """

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._log = TopicPartition(settings.audit_topic, 0)
        self._end = Together(self._ask_for_end)
        self._measured = asyncio.Condition()
        self._copied = 0
        self.entries = 0
        self.bearable = asyncio.Event()
        self.bearable.set()

    async def run(self) -> None:
        """Measures for ever; while Kafka is away the last figure stands."""
        while True:
            try:
                await self._measure()
            except (KafkaError, TransientError) as error:
                logger.warning("the audit lag can't be measured (%s)", type(error).__name__)
            await asyncio.sleep(_MEASURE_SECONDS)

    async def settle(self) -> None:
        """Returns when every entry that is committed by now is in PostgreSQL. Raises `KafkaError` and `TransientError`.

        Whoever waits here has ended its own transaction; those of lanes that died end with their time-out at the latest.
        """
        end = await self._end(None)
        async with self._measured:
            await self._measured.wait_for(lambda: self._copied >= end)

    async def _ask_for_end(self, _wanted: Collection[None]) -> dict[None, int]:
        return {None: await self._cluster.end(self._log)}

    async def _measure(self) -> None:
        end = await self._end(None)
        committed = (await self._cluster.committed(group_of(self._settings), [self._log])).get(self._log)
        copied = (await self._cluster.bounds(self._log))[0] if committed is None else committed.offset
        async with self._measured:
            self._copied, self.entries = copied, -(-max(end - copied, 0) // _OFFSETS_PER_ENTRY)
            self._measured.notify_all()
        metrics.AUDIT_LAG.set(self.entries)
        self._gate()

    def _gate(self) -> None:
        limit = self._settings.audit_lag_limit
        if self.entries > limit and self.bearable.is_set():
            self.bearable.clear()
            told = at(code="audit_lag")
            logger.warning(
                "%d audit entries wait for PostgreSQL, more than %d: masking pauses", self.entries, limit, extra=told
            )
        elif self.entries <= limit and not self.bearable.is_set():
            self.bearable.set()
            logger.info("the audit lag is within %d entries again: masking goes on", limit, extra=at(code="audit_lag"))
