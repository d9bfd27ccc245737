"""Masks raw records anew and compares: with the policy and the keys, the audit's masked bytes follow from the raw ones.

A record of a subject whose key is gone can't be masked as it was: it is counted, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from cdc_masker.audit.records import Made, NotCheckable
from cdc_masker.events import AuditEntry, Note, Outcome, Record
from cdc_masker.methods import Subjects
from cdc_masker.pipeline import Masker

__all__ = ["KnownSubjects", "Recomputer"]

_SCALE = 1 << 64


class Recomputer:
    """Masks a share of all records, from 0 to 1, drawn by `seed` and coordinates: the same seed draws the same ones.

    `masker` gives the masker of a topic, generation and policy version, and `subjects` the keys of subjects under a masker;
    either raises `NotCheckable` where there is none.
    """

    def __init__(
        self,
        masker: Callable[[AuditEntry], Masker],
        subjects: Callable[[Masker], Subjects],
        *,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._masker = masker
        self._subjects = subjects
        self._below = int(share * _SCALE)
        self._seed = seed

    def draws(self, record: Record) -> bool:
        """Whether this record is one to mask anew."""
        if self._below >= _SCALE:
            return True
        place = f"{self._seed} {record.partition} {record.offset} {record.topic}"
        return int.from_bytes(sha256(place.encode()).digest()[:8], "big") < self._below

    def anew(self, entry: AuditEntry, record: Record) -> Outcome:
        """The raw record's outcome. Raises `NotCheckable`."""
        masker = self._masker(entry)
        return masker.mask(record, self._subjects(masker))

    def mask(self, entry: AuditEntry, record: Record, one: Made | Note) -> tuple[Outcome, str | None]:
        """The raw record's outcome, and what is not the same in what was published of it. Raises `NotCheckable`."""
        outcome = self.anew(entry, record)
        differing = _differing(outcome, one)
        return outcome, f"masking the raw record anew gives another {', '.join(differing)}" if differing else None


class KnownSubjects:
    """Keys of subjects as `find` gives them by domain and subject; None: the key is gone."""

    def __init__(self, find: Callable[[str, str], bytes | None]) -> None:
        self._find = find

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        key = self._find(domain, subject)
        if key is None:
            raise NotCheckable("records of subjects that were erased, which can't be masked anew")
        return key


def _differing(outcome: Outcome, one: Made | Note) -> list[str]:
    """The parts that are not the same."""
    found: dict[str, tuple[object, object]]
    if isinstance(one, Note):
        found = {
            "outcome": (outcome.fate, one.fate),
            "reason": (outcome.reason, one.reason),
            "place": (outcome.place, one.place),
            "timestamp": (outcome.timestamp, one.timestamp),
        }
    else:
        made = one.record
        found = {
            "outcome": (outcome.fate, one.fate),
            "key": (outcome.key, made.key),
            "value": (outcome.value, made.value),
            "timestamp": (outcome.timestamp, made.timestamp),
            "headers": (outcome.headers, made.headers),
        }
    return [name for name, (anew, there) in found.items() if anew != there]
