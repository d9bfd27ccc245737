"""The ports in memory, for tests of programs that embed the masker; they pass the contract tests of the real ones."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_masker.errors import PolicyError
from cdc_masker.events import AuditEntry
from cdc_masker.methods import Keys
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.ports import Generation

__all__ = ["MemoryAudit", "MemoryGenerations", "MemoryKeys", "MemoryPolicies"]


class MemoryPolicies:
    """A `PolicySource` that gives the policy last released; the first is in force from the beginning."""

    def __init__(self, policy: Policy = EMPTY) -> None:
        self._released = [policy]

    def release(self, policy: Policy) -> None:
        self._released.append(policy)

    async def current(self, key_epoch: int | None = None) -> Policy:
        for policy in reversed(self._released):
            if key_epoch in (None, policy.key_epoch):
                return policy
        raise PolicyError(f"key epoch {key_epoch}", "no policy of this epoch was released")


class MemoryGenerations:
    """A `GenerationStore` in which all generations are live."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[str, int], int] = {}

    async def live(self) -> list[Generation]:
        return [Generation(*copy, epoch) for copy, epoch in sorted(self._epochs.items())]

    async def register(self, number: int, topics: Sequence[str], policy: Policy) -> dict[str, int]:
        return {topic: self._epochs.setdefault((topic, number), policy.key_epoch) for topic in topics}


class MemoryAudit:
    """An `AuditStore` that keeps its entries in the order of their arrival."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str, str, int, int], AuditEntry] = {}

    @property
    def entries(self) -> list[AuditEntry]:
        return list(self._entries.values())

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        before = len(self._entries)
        for entry in entries:
            identity = (entry.generation, entry.incarnation, entry.topic, entry.partition, entry.first_offset)
            self._entries.setdefault(identity, entry)
        return len(self._entries) - before

    async def last_offset(self, generation: int, incarnation: str, topic: str, partition: int) -> int | None:
        wanted = (generation, incarnation, topic, partition)
        newest = max((identity for identity in self._entries if identity[:4] == wanted), default=None)
        return None if newest is None else self._entries[newest].last_offset


class MemoryKeys:
    """A `KeySource` that gives the keys it was made with."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def load(self) -> Keys:
        return self._keys
