"""The ports in memory, for tests of programs that embed the masker; they pass the contract tests of the real ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cdc_masker.errors import PolicyError
from cdc_masker.events import AuditEntry
from cdc_masker.methods import Keys
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.ports import Awaited, Generation, Receipt
from cdc_masker.subjects import Asked, Held, Log, News, Standing, SubjectName

__all__ = ["MemoryAudit", "MemoryGenerations", "MemoryKeys", "MemoryPolicies", "MemoryReceipts", "MemorySubjects"]


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

    async def at(self, version: int) -> Policy:
        for policy in self._released:
            if policy.version == version:
                return policy
        raise PolicyError(f"version {version}", "was not released")


class MemoryGenerations:
    """A `GenerationStore` in which all generations are live."""

    def __init__(self) -> None:
        self._generations: dict[tuple[str, int], Generation] = {}

    async def live(self) -> list[Generation]:
        return sorted(self._generations.values())

    async def ended(self, number: int) -> dict[str, str]:
        return {}

    async def register(self, number: int, topics: Sequence[str], policy: Policy) -> dict[str, Generation]:
        began = {topic: Generation(topic, number, policy.key_epoch, policy.version) for topic in topics}
        return {topic: self._generations.setdefault((topic, number), each) for topic, each in began.items()}


class MemoryAudit:
    """An `AuditStore` that keeps its entries in the order of their arrival."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str, str, int, int], AuditEntry] = {}

    @property
    def entries(self) -> list[AuditEntry]:
        return list(self._entries.values())

    async def make_room(self) -> None:
        pass

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        before = len(self._entries)
        for entry in entries:
            identity = (entry.generation, entry.incarnation, entry.topic, entry.partition, entry.first_offset)
            self._entries.setdefault(identity, entry)
        return len(self._entries) - before

    async def last(self, generation: int, incarnation: str, topic: str, partition: int) -> AuditEntry | None:
        chain = self._chain(generation, incarnation, topic, partition)
        return max(chain, key=lambda entry: entry.first_offset, default=None)

    async def last_of_each(self) -> list[AuditEntry]:
        chains = {identity[:4] for identity in self._entries}
        return [max(self._chain(*chain), key=lambda entry: entry.first_offset) for chain in chains]

    async def ending_at(self, generation: int, incarnation: str, topic: str, partition: int, offset: int) -> AuditEntry | None:
        chain = self._chain(generation, incarnation, topic, partition)
        return next((entry for entry in chain if entry.last_offset == offset), None)

    def _chain(self, *chain: Any) -> list[AuditEntry]:
        return [entry for identity, entry in self._entries.items() if identity[:4] == chain]


class MemoryKeys:
    """A `KeySource` that gives the keys it was made with."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def load(self) -> Keys:
        return self._keys


class MemoryReceipts:
    """A `ReceiptStore` that keeps its receipts in a list."""

    def __init__(self) -> None:
        self._receipts: list[Receipt] = []

    async def write(self, kind: str, about: str, reason: str, detail: Mapping[str, Any]) -> int:
        return self.add(kind, about, None, reason, detail)

    async def newest(self, limit: int, kind: str | None = None) -> list[Receipt]:
        return [receipt for receipt in reversed(self._receipts) if kind in (None, receipt.kind)][:limit]

    def add(self, kind: str, about: str, subject: bytes | None, reason: str, detail: Mapping[str, Any]) -> int:
        number = len(self._receipts) + 1
        self._receipts.append(Receipt(number, datetime.now(UTC), "memory", kind, about, subject, reason, dict(detail)))
        return number


@dataclass
class _Erasure:
    names: frozenset[SubjectName]
    reason: str
    ends: dict[Log, int] = field(default_factory=dict)
    complete: bool = False


class MemorySubjects:
    """A `SubjectStore` and `ErasureStore` in one, as the catalog is. `clock` gives seconds."""

    def __init__(self, receipts: MemoryReceipts | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._receipts = receipts or MemoryReceipts()
        self._clock = clock
        self._keys: dict[tuple[SubjectName, int], bytes] = {}
        self._erasures: list[_Erasure] = []  # the number of each is its place, from one
        self._workers: dict[UUID, tuple[str, int, float]] = {}
        self._topics: set[str] = set()

    async def look_up(self, asked: Sequence[Asked], log: Log, batch_end: int) -> list[Standing]:
        self._topics.add(log.topic)
        return [self._standing(one, log, batch_end) for one in asked]

    def _standing(self, one: Asked, log: Log, batch_end: int) -> Standing:
        erasures = [erasure for erasure in self._erasures if one.name in erasure.names]
        if going_on := [erasure for erasure in erasures if not erasure.complete]:
            for erasure in going_on:
                erasure.ends[log] = max(batch_end, erasure.ends.get(log, 0))
            return Standing(None, {}, erasing=True)
        if not erasures or one.renew:
            self._keys.setdefault((one.name, one.epoch), one.candidate)
        erased: dict[Log, int] = {}
        for erasure in erasures:
            for each, end in erasure.ends.items():
                erased[each] = max(end, erased.get(each, 0))
        return Standing(self._keys.get((one.name, one.epoch)), erased)

    async def here(self, worker: UUID, name: str, knows: int | None, seconds: float) -> News:
        newest = len(self._erasures)
        seen = newest if knows is None else knows
        self._workers[worker] = (name, seen, self._clock() + seconds)
        return News(newest, tuple(name for erasure in self._erasures[seen:] for name in erasure.names))

    async def leave(self, worker: UUID) -> None:
        self._workers.pop(worker, None)

    async def domains(self) -> list[str]:
        return sorted({name.domain for name, _ in self._keys} | {n.domain for each in self._erasures for n in each.names})

    async def topics(self) -> list[str]:
        return sorted(self._topics)

    async def sample(self, domain: str) -> Held | None:
        found = (Held(name, epoch, wrapped) for (name, epoch), wrapped in self._keys.items() if name.domain == domain)
        return next(found, None)

    async def find(self, name: SubjectName, epoch: int) -> Held | None:
        wrapped = self._keys.get((name, epoch))
        return None if wrapped is None else Held(name, epoch, wrapped)

    async def has_keys(self, names: Iterable[SubjectName]) -> bool:
        wanted = set(names)
        begun = any(wanted & each.names for each in self._erasures if not each.complete)
        return begun or any(name in wanted for name, _ in self._keys)

    async def was_erased(self, names: Iterable[SubjectName]) -> bool:
        wanted = set(names)
        return any(wanted & each.names for each in self._erasures if each.complete)

    async def begin(self, names: Iterable[SubjectName], reason: str) -> list[int]:
        wanted = set(names)
        begun = [number for number, each in enumerate(self._erasures, 1) if not each.complete and wanted & each.names]
        rest = wanted.difference(*(self._erasures[number - 1].names for number in begun))
        if rest:
            self._erasures.append(_Erasure(frozenset(rest), reason))
            begun.append(len(self._erasures))
        return begun

    async def awaited(self, number: int) -> list[Awaited]:
        now = self._clock()
        waiting = [(name, until - now) for name, seen, until in self._workers.values() if until > now and seen < number]
        return sorted(Awaited(*one) for one in waiting)

    async def complete(self, numbers: Sequence[int], ends: Mapping[Log, int]) -> bool:
        begun = {number: self._erasures[number - 1] for number in numbers if not self._erasures[number - 1].complete}
        if begun and await self.awaited(max(begun)):
            return False
        for number, erasure in begun.items():
            for log, end in ends.items():
                erasure.ends[log] = max(end, erasure.ends.get(log, 0))
            erasure.complete = True
            for name in sorted(erasure.names):
                epochs = sorted(epoch for held, epoch in self._keys if held == name)
                for epoch in epochs:
                    del self._keys[name, epoch]
                detail = {"erasure": number, "key_epochs": epochs, "erased_before": [[*log, erasure.ends[log]] for log in ends]}
                self._receipts.add("erase", name.domain, name.digest, erasure.reason, detail)
        return True
