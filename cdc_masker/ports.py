"""What the shell needs from the world, as small protocols.

Each has one real implementation (`cdc_masker.catalog`, `cdc_masker.keys`) and one in memory (`cdc_masker.testing`), and
both pass the same contract tests in `tests/contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cdc_masker.events import AuditEntry
from cdc_masker.methods import Keys
from cdc_masker.policies import Policy

__all__ = ["AuditStore", "Generation", "GenerationStore", "KeySource", "PolicySource"]


class Generation(NamedTuple):
    """One masked copy of a raw topic. All of it is made under keys of one epoch."""

    topic: str
    number: int
    key_epoch: int


class PolicySource(Protocol):
    """Where policies come from."""

    async def current(self, key_epoch: int | None = None) -> Policy:
        """The newest version, or the newest of those with keys of that epoch, its digest verified.

        Before anybody decided it is `EMPTY`. Raises `PolicyError` when it doesn't verify or no version is of that epoch,
        `SetupError` when there is no catalog, `TransientError` when the server is away.
        """
        ...


class GenerationStore(Protocol):
    """The masked copies that there are."""

    async def live(self) -> list[Generation]:
        """Those that are being made, or read, in the order of topics and numbers."""
        ...

    async def register(self, number: int, topics: Sequence[str], policy: Policy) -> dict[str, int]:
        """By raw topic, the key epoch of its generation `number`; one that is not there yet begins under `policy`.

        Whoever registers the same ones at once gets the same answer.
        """
        ...


class AuditStore(Protocol):
    """The append-only rows that audit entries are copied into."""

    async def append(self, entries: Sequence[AuditEntry]) -> int:
        """Stores entries; one that is there already is left as it is. Gives the number of new ones."""
        ...

    async def last_offset(self, generation: int, incarnation: str, topic: str, partition: int) -> int | None:
        """The last source offset that an entry covers, None without any entry."""
        ...


class KeySource(Protocol):
    """Where keys come from."""

    def load(self) -> Keys:
        """The keyring. Raises `KeyringError` when there is none or it can't be used."""
        ...
