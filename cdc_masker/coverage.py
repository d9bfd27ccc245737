"""What a policy makes of real records, for whoever writes it: what it leaves undecided, where keys collapse, what is refused.

Records are masked in memory under keys that don't matter, and what comes out is thrown away. What stays are names of topics
and columns, reasons, places and counts: nothing that a record held.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from cdc_masker.events import Fate, Record
from cdc_masker.methods import METHODS, Keys, Method
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy

__all__ = ["Column", "Coverage", "MadeUpSubjects", "Problem", "Report"]

_LOOK_EVERY = 1000


class Column(msgspec.Struct, frozen=True, order=True):
    """A column of the rows in a topic."""

    topic: str
    column: str


class Problem(msgspec.Struct, frozen=True, order=True):
    """What is wrong with some records of a topic: where in them, why, and with how many."""

    topic: str
    place: str
    reason: str
    records: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `outcomes` counts the records by what becomes of them.

    `undecided`: columns that no rule decides on, or whose rule's method does not fit their type; they are redacted. `misfits`:
    columns with values that their method can't take; these values are. `collapsed`: columns of keys in which a constant stands,
    so that different rows get the same key. `refused`: records that go to quarantine.
    """

    policy_version: int
    policy_digest: str
    records: int
    outcomes: dict[Fate, int]
    undecided: tuple[Column, ...]
    misfits: tuple[Problem, ...]
    collapsed: tuple[Column, ...]
    refused: tuple[Problem, ...]

    @property
    def complete(self) -> bool:
        """Whether there is nothing to decide on."""
        return not (self.undecided or self.misfits or self.collapsed or self.refused)


class MadeUpSubjects:
    """Subjects all of whom have keys that are made from others: where nobody keeps them, and none was erased."""

    def __init__(self, keys: Keys, epoch: int) -> None:
        self._keys = keys
        self._epoch = epoch

    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return self._keys.derive("made-up subjects", json.dumps([domain, subject]), self._epoch)


class Coverage:
    """Takes records, and tells what the policy makes of them. Raises what `Masker` raises."""

    def __init__(self, policy: Policy, keys: Keys, known: Mapping[str, type[Method]] = METHODS) -> None:
        self._policy = policy
        self._masker = Masker(policy, keys, known=known)
        self._subjects = MadeUpSubjects(keys, policy.key_epoch)
        self._outcomes: Counter[Fate] = Counter()
        self._misfits: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[tuple[str, str, str]] = Counter()
        self._undecided: _Columns = defaultdict(frozenset)
        self._collapsed: _Columns = defaultdict(frozenset)

    @property
    def records(self) -> int:
        """How many there were so far."""
        return self._outcomes.total()

    def add(self, record: Record) -> None:
        """Masks a record and keeps what is to be told of it."""
        outcome = self._masker.mask(record, self._subjects)
        self._outcomes[outcome.fate] += 1
        self._misfits.update((outcome.topic, column, reason) for column, reason in outcome.misfits)
        if outcome.reason is not None:
            self._refused[outcome.topic, outcome.place or "", outcome.reason] += 1
        if self.records % _LOOK_EVERY == 0:  # a masker forgets what it knows of layouts when there are too many
            self._look()

    def report(self) -> Report:
        """What there is to tell so far."""
        self._look()
        return Report(
            policy_version=self._policy.version,
            policy_digest=self._policy.digest,
            records=self.records,
            outcomes={fate: self._outcomes[fate] for fate in Fate},
            undecided=_columns(self._undecided),
            misfits=_problems(self._misfits),
            collapsed=_columns(self._collapsed),
            refused=_problems(self._refused),
        )

    def _look(self) -> None:
        for known, seen in ((self._undecided, self._masker.undecided()), (self._collapsed, self._masker.collapsed())):
            for topic, columns in seen.items():
                known[topic] |= columns


_Columns = defaultdict[str, frozenset[str]]


def _columns(found: Mapping[str, frozenset[str]]) -> tuple[Column, ...]:
    return tuple(sorted(Column(topic, column) for topic, columns in found.items() for column in columns))


def _problems(found: Mapping[tuple[str, str, str], int]) -> tuple[Problem, ...]:
    return tuple(sorted(Problem(*told, records) for told, records in found.items()))
