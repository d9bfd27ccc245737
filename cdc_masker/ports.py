"""What the shell needs from the world, as small protocols.

Each has one real implementation (`cdc_masker.catalog`, `cdc_masker.keys`) and, but for `ReplayStore`, one in memory
(`cdc_masker.testing`), and both pass the same contract tests in `tests/contract`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from cdc_masker.events import AuditEntry
from cdc_masker.methods import Keys
from cdc_masker.policies import Policy
from cdc_masker.subjects import Asked, Held, Log, News, Standing, SubjectName

__all__ = [
    "AuditStore",
    "Awaited",
    "Cutover",
    "ErasureStore",
    "Generation",
    "GenerationStore",
    "KeySource",
    "PolicySource",
    "Quarantined",
    "Receipt",
    "ReceiptStore",
    "Replay",
    "ReplayStore",
    "Stretch",
    "SubjectStore",
    "Unreadable",
]


class Generation(NamedTuple):
    """One masked copy of a raw topic. All of it is made under keys of one epoch, in the shape of one policy version."""

    topic: str
    number: int
    key_epoch: int
    policy_version: int


class PolicySource(Protocol):
    """Where policies come from."""

    async def current(self, key_epoch: int | None = None) -> Policy:
        """The newest version, or the newest of those with keys of that epoch, its digest verified.

        Before anybody decided it is `EMPTY`. Raises `PolicyError` when it doesn't verify or no version is of that epoch,
        `SetupError` when there is no catalog, `TransientError` when the server is away.
        """
        ...

    async def at(self, version: int) -> Policy:
        """One version, old or new. Raises as `current` does, and `PolicyError` when there is no such version."""
        ...


class GenerationStore(Protocol):
    """The masked copies that there are."""

    async def live(self) -> list[Generation]:
        """Those that are being made, or read, in the order of topics and numbers."""
        ...

    async def ended(self, number: int) -> dict[str, str]:
        """By raw topic, the state of its generation `number`, where that is not live any more."""
        ...

    async def register(self, number: int, topics: Sequence[str], policy: Policy) -> dict[str, Generation]:
        """By raw topic, its generation `number`; one that is not there yet begins under `policy`.

        Whoever registers the same ones at once gets the same answer.
        """
        ...


class Stretch(NamedTuple):
    """A partition of a replay: its records from `start` to before `end`."""

    topic: str
    partition: int
    incarnation: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One generation that is made anew from raw topics.

    Records up to the bound are masked under `policy_version`. `stays`: past its bound the generation goes on with what comes;
    without, it ends there. `pattern`: the regular expression of its topics. Partitions that are in no stretch came later.
    """

    generation: int
    policy_version: int
    stays: bool
    pattern: str
    reason: str
    created_at: datetime
    created_by: str
    state: Literal["running", "paused", "cancelled"]
    stretches: tuple[Stretch, ...]


class Cutover(NamedTuple):
    """Where consumers of a partition go from generation `closes` to `generation`.

    `last_source_offset` is the last one that the closed generation holds. Its copy ends before `old_position`, and what follows
    begins in the other's copy at `new_position`.
    """

    topic: str
    partition: int
    generation: int
    closes: int
    last_source_offset: int
    old_position: int
    new_position: int


class ReplayStore(Protocol):
    """Replays, and how generations end. What changes something raises `SetupError` when that can't be, with the reason."""

    async def find(self, generation: int) -> Replay | None:
        """The replay that makes this generation, None if none does."""
        ...

    async def all(self) -> list[Replay]:
        """All of them, oldest first."""
        ...

    async def begin(self, policy: Policy, *, stays: bool, pattern: str, reason: str, stretches: Sequence[Stretch]) -> Replay:
        """Takes the next number, and registers the generation of each topic under `policy`, all or nothing."""
        ...

    async def tell(self, generation: int, kind: Literal["pause", "resume", "cancel"], reason: str) -> None:
        """Tells a replay what to do. A cancelled one is told nothing more, and its topics' generations are cancelled."""
        ...

    async def close(self, generation: int, topics: Sequence[str], reason: str) -> None:
        """Closes the live generation of topics that have a later one. One that is closed stays so."""
        ...

    async def cut(self, cutovers: Sequence[Cutover]) -> None:
        """Stores where closed generations were cut over; what is there for a partition stays."""
        ...

    async def cutovers(self, generation: int) -> list[Cutover]:
        """Those to this generation, in the order of topics, partitions and what they close."""
        ...

    async def retire(self, generation: int, topics: Sequence[str], reason: str) -> None:
        """Retires the closed or cancelled generation of topics. One that is retired stays so."""
        ...


class AuditStore(Protocol):
    """The append-only rows that audit entries are copied into."""

    async def make_room(self) -> None:
        """Prepares for entries of the coming months; called now and then. Nothing is refused where it was not, or failed."""
        ...

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        """Stores entries; one that is there already is left as it is. Gives the number of new ones."""
        ...

    async def last(self, generation: int, incarnation: str, topic: str, partition: int) -> AuditEntry | None:
        """The last entry of a chain, None without any."""
        ...

    async def last_of_each(self) -> list[AuditEntry]:
        """The last entry of each chain."""
        ...

    async def ending_at(self, generation: int, incarnation: str, topic: str, partition: int, offset: int) -> AuditEntry | None:
        """The entry of a chain whose last offset that is, None if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record that was quarantined, as its audit row tells. `reason` is that of whichever version wrote the row."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    place: str | None
    generation: int
    incarnation: str
    policy_version: int
    key_epoch: int
    masked_at: datetime
    worker: str


class Unreadable(NamedTuple):
    """In place of an entry: something in the audit that is none. `offset` is that of its first record."""

    offset: int
    problem: str


class KeySource(Protocol):
    """Where keys come from."""

    def load(self) -> Keys:
        """The keyring. Raises `KeyringError` when there is none or it can't be used."""
        ...


class SubjectStore(Protocol):
    """The keys of subjects, as workers get them. Every method raises `TransientError` when the server is away."""

    async def look_up(self, asked: Sequence[Asked], log: Log, batch_end: int) -> list[Standing]:
        """What is known of each subject, in order, for a batch of that log which ends before offset `batch_end`.

        A key that is not there is made of the candidate, unless the subject was erased and nobody asked to renew it.
        Workers that ask at once get the same key. A subject that is being erased has none; the erasure then covers the batch.
        """
        ...

    async def here(self, worker: UUID, name: str, knows: int | None, seconds: float) -> News:
        """Tells that the worker may use what it knows for so many seconds, and up to which erasure it has dropped keys.

        The first time it `knows` None, and has no key. Gives the subjects of all later erasures, begun or complete.
        """
        ...

    async def leave(self, worker: UUID) -> None:
        """Tells that the worker holds no key any more."""
        ...


class Awaited(NamedTuple):
    """A worker that has not acknowledged an erasure; unless it is heard of, it is given up after so many seconds."""

    worker: str
    seconds: float


class ErasureStore(Protocol):
    """The same keys, as they are destroyed."""

    async def domains(self) -> list[str]:
        """The domains in which subjects have keys, or had them."""
        ...

    async def topics(self) -> list[str]:
        """The raw topics that were ever masked."""
        ...

    async def sample(self, domain: str) -> Held | None:
        """One key, by which to tell whether a keyring fits."""
        ...

    async def find(self, name: SubjectName, epoch: int) -> Held | None:
        """The subject's key of that epoch, if there is one."""
        ...

    async def has_keys(self, names: Iterable[SubjectName]) -> bool:
        """Whether there is something to erase: a key of any of them, or an erasure that was begun."""
        ...

    async def was_erased(self, names: Iterable[SubjectName]) -> bool:
        """Whether any of them was."""
        ...

    async def begin(self, names: Iterable[SubjectName], reason: str) -> list[int]:
        """Begins to erase, or takes up what was begun. From now on, who asks gets no key of theirs. Gives the erasures."""
        ...

    async def awaited(self, number: int) -> list[Awaited]:
        """The workers that may still use keys which are being erased, up to that erasure."""
        ...

    async def complete(self, numbers: Sequence[int], ends: Mapping[Log, int]) -> bool:
        """Destroys the keys, stores up to where records are erased, and writes the receipts, all or nothing.

        False, and nothing was done: a worker has not acknowledged yet. Erasures that are complete stay as they are.
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What somebody did with keys. `about` names a domain, a rule or a key; `subject` is its name in the catalog."""

    id: int
    at: datetime
    login: str
    kind: str
    about: str
    subject: bytes | None
    reason: str
    detail: Mapping[str, Any]


class ReceiptStore(Protocol):
    """What was done with keys, append-only."""

    async def write(self, kind: str, about: str, reason: str, detail: Mapping[str, Any]) -> int:
        """Writes a receipt and gives its number."""
        ...

    async def newest(self, limit: int, kind: str | None = None) -> list[Receipt]:
        """The newest receipts, newest first."""
        ...
