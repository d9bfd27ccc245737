"""Masked records that are there beside what masking their raw records gives now: how many are the same, and what differs why.

What always holds: nothing that a record holds is told, only the names of its table, of columns that its raw record has, of
headers that a policy lets through, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from cdc_masker.audit.recomputing import Recomputer
from cdc_masker.audit.records import Made as Published
from cdc_masker.audit.records import read_origin
from cdc_masker.errors import Reason
from cdc_masker.events import AuditEntry, Fate, Note, Outcome, Record
from cdc_masker.evidence import LONGEST_NAME, MOST_COLUMNS, OTHERS
from cdc_masker.lookup import Table
from cdc_masker.replay.causes import Causes, Why
from cdc_masker.replay.parts import Kind, Part, apart, differing

__all__ = ["Answer", "Comparer", "Comparison", "Difference"]


class Difference(msgspec.Struct, frozen=True, order=True):
    """In how many records a part differs, and why. `name` is that of a column, a header or a field; of an outcome, what it was
    and what it is now.
    """

    topic: str
    table: str
    kind: Kind
    name: str | None
    why: Why
    words: str
    records: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing comes to. `same` counts the records of which every byte is the same, but for the policy version and key
    epoch that their header names. `before` and `after` count them by the policy versions that they were masked under, and are
    now. `unchecked`: how many could not be masked anew, or were not there, by the reason why not.
    """

    compared: int
    same: int
    before: Mapping[int, int]
    after: Mapping[int, int]
    differences: tuple[Difference, ...]
    unchecked: Mapping[str, int]

    @property
    def unexplained(self) -> bool:
        """Whether something differs that nothing explains."""
        return any(each.why is Why.UNKNOWN for each in self.differences)


class Comparer:
    """Masks records anew in place of what an audit is verified with, and has them compared: see `Recompute`.

    `causes` gives those since a policy version.
    """

    def __init__(self, recomputer: Recomputer, causes: Callable[[int], Causes], comparison: Comparison) -> None:
        self._recomputer = recomputer
        self._causes = causes
        self._comparison = comparison

    def draws(self, record: Record) -> bool:
        return self._recomputer.draws(record)

    def mask(self, entry: AuditEntry, record: Record, one: Published | Note) -> tuple[Outcome | None, str | None]:
        anew = self._recomputer.anew(entry, record)
        causes = self._causes(one.policy_version if isinstance(one, Published) else entry.policy_version)
        same = self._comparison.add(record, one, anew, causes, entry.program)
        return anew if same and not causes.differ else None, None


class Comparison:
    """Takes records one by one."""

    def __init__(self) -> None:
        self.same = 0
        self._before: Counter[int] = Counter()
        self._after: Counter[int] = Counter()
        self._differing: Counter[tuple[str, str, Part, Why, str]] = Counter()
        self._names: set[tuple[str, str | None]] = set()

    def add(self, raw: Record, there: Published | Note, anew: Outcome, causes: Causes, program: str) -> bool:
        """Compares what is there of a raw record, by that program, with its outcome now. Whether all is the same."""
        for versions, version in zip((self._before, self._after), causes.versions, strict=True):
            versions[version] += 1
        fates = _fate(there.fate, there), _fate(anew.fate, anew)
        if fates[0] != fates[1]:
            found = {Part("outcome", " → ".join(fates))}
        elif isinstance(there, Note):
            found = set()
        else:
            found = differing(there.record, anew, flattened=causes.flattened(raw.topic)) or _origin(there, anew)
        if not found:
            self.same += 1
            return True
        table = causes.table(raw)
        known = _names(raw, anew, causes)
        self._differing.update({self._of(table, part, known, causes, program) for part in found})
        return False

    @property
    def compared(self) -> int:
        """How many there were so far."""
        return self._after.total()

    def answer(self, unchecked: Mapping[str, int]) -> Answer:
        """What there is to tell so far."""
        found = (
            Difference(topic, table, part.kind, part.name, why, words, records)
            for (topic, table, part, why, words), records in self._differing.items()
        )
        told = sorted(found, key=lambda each: (each.topic, each.table, each.kind, each.name or "", each.why, each.words))
        return Answer(
            compared=self.compared,
            same=self.same,
            before=dict(sorted(self._before.items())),
            after=dict(sorted(self._after.items())),
            differences=tuple(told),
            unchecked=dict(unchecked),
        )

    def _of(self, table: Table, part: Part, known: set[Part], causes: Causes, program: str) -> tuple[str, str, Part, Why, str]:
        cause = causes.of(part, table, program)
        name = f"{table.schema}.{table.name}" if table.name else ""
        told = part if part.kind == "outcome" or part.name is None or part in known else Part(part.kind, OTHERS)
        if (name, told.name) not in self._names:
            if len(self._names) >= MOST_COLUMNS or max(len(name), len(told.name or "")) > LONGEST_NAME:
                told = Part(part.kind, OTHERS)
            else:
                self._names.add((name, told.name))
        return table.topic, name, told, cause.why, cause.words


def _fate(fate: Fate, one: Published | Note | Outcome) -> str:
    reason: Reason | None = getattr(one, "reason", None)
    return fate if reason is None else f"{fate}: {reason} at {getattr(one, 'place', None) or 'the record'}"


def _names(raw: Record, anew: Outcome, causes: Causes) -> set[Part]:
    """What may be told of by its name: whoever wrote the masked topic may have written anything into it."""
    flattened = causes.flattened(raw.topic)
    inside = {part for each in (raw, anew) for part, _ in apart(each, flattened=flattened) if part.kind != "header"}
    return inside | {Part("header", name) for name in causes.headers()}


def _origin(there: Published, anew: Outcome) -> set[Part]:
    """The header that tells what a record was made by, if that is all that differs, and not by what it tells."""
    ours = Record(anew.topic, anew.partition, anew.offset, anew.timestamp, None, None, anew.headers)
    made = read_origin(ours)
    versions = (there.policy_version, there.key_epoch, there.shape_version)
    if made is None or versions != (made.policy_version, made.key_epoch, made.shape_version):
        return set()
    return set() if there.record.headers[-1] == anew.headers[-1] else {Part("header")}
