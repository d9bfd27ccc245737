"""What the lanes of a worker share, and whether they may mask now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from cdc_masker.kafka.alarm import GuardAlarm
from cdc_masker.kafka.auditing import AuditLag
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.kafka.presence import Presence
from cdc_masker.kafka.replays import PAUSED, Course
from cdc_masker.kafka.subjects import SubjectKeys, Unconfirmed
from cdc_masker.kafka.topics import Topics
from cdc_masker.ports import AuditStore, GenerationStore
from cdc_masker.settings import Settings

__all__ = ["Parts"]

_STARTING_AT_ONCE = 8  # publishers; more of them would only wait for each other, and then take too long


@dataclass(frozen=True, slots=True)
class Parts:
    """What all lanes share. `starting` is held while a publisher starts.

    `held`: the bounds of logs whose records come from elsewhere than Kafka.
    """

    settings: Settings
    worker: str
    cluster: Cluster
    topics: Topics
    generations: GenerationStore
    course: Course
    audit: AuditStore
    lag: AuditLag
    maskers: Maskers
    subjects: SubjectKeys
    presence: Presence
    alarm: GuardAlarm
    held: Mapping[TopicPartition, tuple[int, int]] = field(default_factory=dict)
    starting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_STARTING_AT_ONCE))

    @property
    def masking(self) -> bool:
        """Whether masking may go on: the audit is not too far behind, and nothing that people decide on is in the way."""
        return self.lag.bearable.is_set() and not self.waits_for

    @property
    def waits_for(self) -> str | None:
        """The code of what people decide on: the policy in use may not be used, or the replay is paused. None: it goes on."""
        return self.maskers.gate.closed or (PAUSED if self.course.paused else None)

    def confirm(self) -> None:
        """Raises `Unconfirmed` when the policy in use may not be used any more."""
        if self.maskers.gate.closed:
            raise Unconfirmed(f"policy version {self.maskers.policy.version} can't be confirmed")

    async def may_mask(self) -> None:
        """Returns when masking may go on."""
        while not self.masking:
            await self.lag.bearable.wait()
            await self.maskers.gate.opened()
            await self.course.resumed()
