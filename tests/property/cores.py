"""Both cores side by side: whatever a record is, the compiled one has to give what the Python one gives."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cdc_masker.batches import MaskedBatch
from cdc_masker.events import Outcome, Record
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import METHODS, Method, Subjects
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from tests.unit.building import KEYS, change, record, rule

__all__ = ["PEOPLE", "ROW", "SELDOM", "SHORT", "Both", "assert_same"]


PEOPLE = Policy.of(
    1,
    rules=[
        rule("id", "keep"),
        rule("email", "tokenize", domain="email"),
        rule("number", "tokenize", type="int8"),
        rule("ref", "tokenize", type="uuid"),
        rule("name", "partial", first=1, last=1),
        rule("code", "truncate", length=2),
        rule("gone", "drop"),
        rule("place", "keep"),
    ],
)
ROW = {
    "id": 7,
    "email": "a.b@example.com",
    "number": -12,
    "ref": "93370f70-9f20-4a82-89ba-0f80e2dd4f58",
    "name": "Ivan",
    "code": "x12",
    "gone": None,
    "place": {"x": 1.5, "tags": ["a", 1]},
    "other": "undecided",
}
SHORT = record(change("u", before=None, after=ROW), {"id": 7})
"""An event of these people, in a table with a method of each kind."""

SELDOM = EgressGuard(every=2)
"""Looks at no odd offset, so that what masks has to be right by itself."""


class _Subjects:
    """Gives every subject a key."""

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return hashlib.sha256(f"{domain} {subject}".encode()).digest()


class Both:
    """Both cores under one policy. What one of them learns, it keeps from record to record, as in a worker."""

    def __init__(self, policy: Policy, *, known: Mapping[str, type[Method]] = METHODS, **options: Any) -> None:
        self.python = Masker(policy, KEYS, known=known, **options)
        self.native = Masker(policy, KEYS, known=known, native=True, **options)

    def mask(self, *records: Record) -> MaskedBatch:
        """What becomes of a batch; raises `AssertionError` unless that is the same from both."""
        subjects = _Subjects()
        expected, found = self.python.mask_batch(records, subjects), self.native.mask_batch(records, subjects)
        assert_same(found, expected)
        assert _treated(found) == _treated(expected)
        assert self.native.undecided() == self.python.undecided()
        assert self.native.collapsed() == self.python.collapsed()
        return found

    def own(self, records: Sequence[Record]) -> list[bool]:
        """Which of them the compiled core masks itself."""
        assert self.native._native is not None
        masking = self.native._native.begin(records, _nobody)._masking
        others = masking.go_on([*range(len(records))], _Subjects())
        return [place not in others for place in range(len(records))]


def assert_same(found: MaskedBatch, expected: MaskedBatch) -> None:
    """All that is said of both batches is the same, but for how often each treatment was applied."""
    for part in ("offsets", "root", "notes", "fates", "misfits"):
        assert getattr(found, part) == getattr(expected, part), part
    assert [*found.rows] == [*expected.rows]


def _nobody(records: Sequence[Record], subjects: Subjects) -> list[Outcome | None]:
    raise AssertionError("nobody is asked")


def _treated(batch: MaskedBatch) -> Counter[Any]:
    """How often each column was treated how: treatments are compared by identity, and each masker has its own."""
    counts: Counter[Any] = Counter()
    for treatment, count in batch.treatments.items():
        counts[treatment.table, treatment.columns] += count
    return counts
