"""What raw records are masked anew with: the maskers of each generation and policy version, and keys of subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cdc_masker import plugins
from cdc_masker.audit.bridge import Bridge
from cdc_masker.audit.recomputing import KnownSubjects, Recomputer
from cdc_masker.audit.records import NotCheckable
from cdc_masker.catalog import Catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.errors import PolicyError
from cdc_masker.events import AuditEntry
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import Keys, Subjects
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import Settings
from cdc_masker.subjects import SubjectCipher

__all__ = ["Anew", "Masking"]


@dataclass(frozen=True, slots=True)
class Masking:
    """With which keys, and which share of all records, drawn by the seed."""

    keys: Keys
    share: float
    seed: int


class Anew:
    """Makes a recomputer for each copy. The login needs to read keys of subjects where a policy has domains per subject."""

    def __init__(self, settings: Settings, catalog: Catalog, masking: Masking) -> None:
        self._settings = settings
        self._catalog = catalog
        self._masking = masking
        self._known = plugins.methods(settings)

    def recomputer(self, bridge: Bridge, copy: Registered, largest: int) -> Recomputer:
        """For the copy of a topic whose record batches may have `largest` bytes."""

        @lru_cache
        def policy(version: int) -> Policy:
            return EMPTY if version == EMPTY.version else bridge.wait(self._catalog.policies.at(version))

        @lru_cache
        def masker_under(version: int) -> Masker:
            try:
                return Masker(
                    policy(version),
                    self._masking.keys,
                    generation=copy.generation,
                    began=policy(copy.policy_version),
                    output_prefix=self._settings.output_prefix,
                    max_record_bytes=largest,
                    guard=EgressGuard(self._settings.guard_every),
                    known=self._known,
                )
            except PolicyError:
                raise NotCheckable("records of policy versions that the catalog does not have, or that can't be used") from None

        def masker(entry: AuditEntry) -> Masker:
            return masker_under(entry.policy_version)

        @lru_cache
        def of_epoch(epoch: int) -> Subjects:
            return KnownSubjects(self._finder(bridge, epoch))

        def subjects(masker: Masker) -> Subjects:
            return of_epoch(masker.policy.key_epoch)

        return Recomputer(masker, subjects, share=self._masking.share, seed=self._masking.seed)

    def _finder(self, bridge: Bridge, epoch: int) -> Callable[[str, str], bytes | None]:
        erasures, keys = self._catalog.erasures, self._masking.keys

        @lru_cache
        def cipher(domain: str) -> SubjectCipher:
            return SubjectCipher(keys, domain, epoch)

        @lru_cache(self._settings.subject_cache)
        def find(domain: str, subject: str) -> bytes | None:
            name = cipher(domain).name(subject)
            held = bridge.wait(erasures.find(name, epoch))
            if held is None or bridge.wait(erasures.was_erased([name])):
                return None
            return cipher(domain).unwrap(held.wrapped, held.name)

        return find
