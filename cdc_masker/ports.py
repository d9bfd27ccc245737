"""What the shell needs from the world, as small protocols.

Each has one real implementation (`cdc_masker.catalog`, `cdc_masker.keys`) and one in memory (`cdc_masker.testing`), and
both pass the same contract tests in `tests/contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cdc_masker.events import AuditEntry
from cdc_masker.methods import Keys
from cdc_masker.policies import Policy

__all__ = ["AuditStore", "GenerationStore", "KeySource", "PolicySource"]


class PolicySource(Protocol):
    """Where policies come from."""

    async def current(self) -> Policy:
        """The newest version, its digest verified.

        Raises `PolicyError` when it doesn't verify, `SetupError` when there is no catalog, `TransientError` when the
        server is away.
        """
        ...


class GenerationStore(Protocol):
    """Which generation of a topic's masked copy is the live one."""

    async def live(self, topics: Sequence[str]) -> dict[str, int]:
        """The live generation of each raw topic; one that is new to the catalog is registered as generation 1."""
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
