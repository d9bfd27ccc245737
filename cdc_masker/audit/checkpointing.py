"""Takes checkpoints of the audit: signs where its chains end, and refuses when it went back since the last one.

What always holds: a note is signed only if every chain of the newest notes that the places hold is still there, as long at
least, and with the same entry where it ended then. If not, somebody cut the audit or made it anew, and that is told instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cdc_masker import heads
from cdc_masker.audit.places import Place
from cdc_masker.catalog.audit import PostgresAudit
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import head_of
from cdc_masker.heads import Chain, Head, Heads
from cdc_masker.signednotes import BadNote

__all__ = ["Checkpointer", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one turn came to: `problems` says what of the audit went back, and then nothing was written; `written` where to."""

    chains: int
    problems: Sequence[str]
    written: Sequence[str] = ()


class Checkpointer:
    """Signs with one key under one origin, for these places."""

    def __init__(self, audit: PostgresAudit, origin: str, key: Ed25519PrivateKey, places: Iterable[Place]) -> None:
        self._audit = audit
        self._origin = origin
        self._key = key
        self._public = key.public_key().public_bytes_raw()
        self._places = list(places)

    async def take(self) -> Taken:
        """One checkpoint; places whose last note says the same get none.

        Raises `SetupError` where a place holds something else, and `TransientError` when it or the catalog is away.
        """
        before = [(place, await self._last(place)) for place in self._places]
        now = Heads(self._origin, {_chain(each): _head(each) for each in await self._audit.last_of_each()})
        problems = dict.fromkeys([each for _, last in before if last for each in await self._went_back(last, now)])
        if problems:
            return Taken(len(now.by_chain), list(problems))
        note = heads.write(now, self._public, self._key.sign(heads.text(now).encode()))
        written = [place for place, last in before if last != now]
        for place in written:
            await place.put(note)
        return Taken(len(now.by_chain), (), [str(place) for place in written])

    async def _last(self, place: Place) -> Heads | None:
        note = await place.last()
        if note is None:
            return None
        try:
            last = heads.read(note, [self._public])
        except BadNote as error:
            raise SetupError(f"the last note in {place} can't be used: {error}; keep it, and name another place") from None
        if last.origin != self._origin:
            raise SetupError(f"{place} holds notes of origin {last.origin}; name another place, or that with --origin")
        return last

    async def _went_back(self, last: Heads, now: Heads) -> list[str]:
        problems = []
        for chain, then in last.by_chain.items():
            name = f"{chain.topic}[{chain.partition}] (generation {chain.generation}, incarnation {chain.incarnation})"
            head = now.by_chain.get(chain)
            if head is None:
                problems.append(f"{name} is gone; it went to offset {then.last_offset}")
            elif head.last_offset < then.last_offset:
                problems.append(f"{name} ends at offset {head.last_offset}; it went to {then.last_offset}")
            elif head != then and not await self._was(chain, then):
                problems.append(f"{name} has not the entry any more that ended at offset {then.last_offset}")
        return problems

    async def _was(self, chain: Chain, head: Head) -> bool:
        """Whether the chain ended so at some time."""
        place = (chain.generation, chain.incarnation, chain.topic, chain.partition)
        entry = await self._audit.ending_at(*place, head.last_offset)
        return entry is not None and _head(entry) == head


def _chain(entry: AuditEntry) -> Chain:
    return Chain(entry.generation, entry.topic, entry.partition, entry.incarnation)


def _head(entry: AuditEntry) -> Head:
    return Head(entry.last_offset, head_of(entry))
