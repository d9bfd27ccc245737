"""What raw records are masked anew with: the maskers of each generation and policy version, and keys of subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from cdc_masker import plugins
from cdc_masker.audit.bridge import Bridge
from cdc_masker.audit.recomputing import KnownSubjects, Recomputer
from cdc_masker.audit.records import NotCheckable
from cdc_masker.catalog import Catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.coverage import MadeUpSubjects
from cdc_masker.errors import PolicyError
from cdc_masker.events import AuditEntry
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import Keys, Subjects
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import Settings
from cdc_masker.subjects import SubjectCipher

__all__ = ["Anew", "Maskers", "Masking"]


@dataclass(frozen=True, slots=True)
class Masking:
    """With which keys, and which share of all records, drawn by the seed."""

    keys: Keys
    share: float
    seed: int


class Anew:
    """Makes a recomputer for each copy. The login needs to read keys of subjects where a policy has domains per subject."""

    def __init__(self, settings: Settings, catalog: Catalog, masking: Masking) -> None:
        self.settings = settings
        self.catalog = catalog
        self.masking = masking
        self.known = plugins.methods(settings)

    def recomputer(self, bridge: Bridge, copy: Registered, largest: int) -> Recomputer:
        """For the copy of a topic whose record batches may have `largest` bytes."""
        maskers = Maskers(self, bridge, copy, largest)
        return self.drawing(maskers.of, maskers)

    def drawing(self, masker: Callable[[AuditEntry], Masker], maskers: Maskers) -> Recomputer:
        """One that masks its share of the records so."""
        return Recomputer(masker, maskers.subjects, share=self.masking.share, seed=self.masking.seed)


class Maskers:
    """The maskers of one copy of a topic, by policy version, and the keys of subjects that they need.

    `newcomers`: a subject who has no key yet, and was not erased, gets one that is made up, which gives what nobody has seen.
    """

    def __init__(self, anew: Anew, bridge: Bridge, copy: Registered, largest: int, *, newcomers: bool = False) -> None:
        self._anew = anew
        self._bridge = bridge
        self._copy = copy
        self._largest = largest
        self._newcomers = newcomers
        self._known = lru_cache(self._policy)
        self._of_epoch = lru_cache(self._subjects_of)
        self._under = lru_cache(self._masker)

    def of(self, entry: AuditEntry) -> Masker:
        """That of the entry's batch. Raises `NotCheckable`."""
        return self.under(entry.policy_version, self._copy.policy_version)

    def under(self, version: int, shape: int) -> Masker:
        """One under that version, for rows in the shape of another. Raises `NotCheckable`."""
        with _usable():
            return self._under(version, shape)

    def policy(self, version: int) -> Policy:
        """A version. Raises `NotCheckable`."""
        with _usable():
            return self._known(version)

    def subjects(self, masker: Masker) -> Subjects:
        """The keys of subjects under a masker."""
        return self._of_epoch(masker.policy.key_epoch)

    def _masker(self, version: int, shape: int) -> Masker:
        settings = self._anew.settings
        return Masker(
            self._known(version),
            self._anew.masking.keys,
            generation=self._copy.generation,
            began=self._known(shape),
            output_prefix=settings.output_prefix,
            max_record_bytes=self._largest,
            guard=EgressGuard(settings.guard_every),
            known=self._anew.known,
        )

    def _policy(self, version: int) -> Policy:
        return EMPTY if version == EMPTY.version else self._bridge.wait(self._anew.catalog.policies.at(version))

    def _subjects_of(self, epoch: int) -> Subjects:
        erasures, keys = self._anew.catalog.erasures, self._anew.masking.keys
        made_up = MadeUpSubjects(keys, epoch)

        @lru_cache
        def cipher(domain: str) -> SubjectCipher:
            return SubjectCipher(keys, domain, epoch)

        @lru_cache(self._anew.settings.subject_cache)
        def find(domain: str, subject: str) -> bytes | None:
            name = cipher(domain).name(subject)
            held = self._bridge.wait(erasures.find(name, epoch))
            if self._bridge.wait(erasures.was_erased([name])):
                return None
            if held is None:
                return made_up.key(domain, subject, "", 0, 0) if self._newcomers else None
            return cipher(domain).unwrap(held.wrapped, held.name)

        return KnownSubjects(find)


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except PolicyError:
        raise NotCheckable("records of policy versions that the catalog does not have, or that can't be used") from None
