"""What the lanes of a worker share, and whether they may mask now."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_masker.kafka.alarm import GuardAlarm
from cdc_masker.kafka.auditing import AuditLag
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.kafka.presence import Presence
from cdc_masker.kafka.subjects import SubjectKeys, Unconfirmed
from cdc_masker.kafka.topics import Topics
from cdc_masker.ports import AuditStore, GenerationStore
from cdc_masker.settings import Settings

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What all lanes share."""

    settings: Settings
    worker: str
    cluster: Cluster
    topics: Topics
    generations: GenerationStore
    audit: AuditStore
    lag: AuditLag
    maskers: Maskers
    subjects: SubjectKeys
    presence: Presence
    alarm: GuardAlarm

    @property
    def masking(self) -> bool:
        """Whether masking may go on: the audit is not too far behind, and the policy in use may be used."""
        return self.lag.bearable.is_set() and not self.maskers.gate.closed

    def confirm(self) -> None:
        """Raises `Unconfirmed` when the policy in use may not be used any more."""
        if self.maskers.gate.closed:
            raise Unconfirmed(f"policy version {self.maskers.policy.version} can't be confirmed")

    async def may_mask(self) -> None:
        """Returns when masking may go on."""
        while not self.masking:
            await self.lag.bearable.wait()
            await self.maskers.gate.opened()
