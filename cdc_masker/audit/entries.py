"""What an entry has to be, whatever stands before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cdc_masker.audit.findings import Code
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.policies import EMPTY

__all__ = ["Began", "Catalogued", "Version", "faults", "published", "visible"]


class Version(NamedTuple):
    """A policy version as the catalog has it."""

    digest: str
    seal: str
    key_epoch: int


class Began(NamedTuple):
    """What a generation of a topic was begun with."""

    key_epoch: int
    policy_version: int


@dataclass(frozen=True, slots=True)
class Catalogued:
    """What the catalog says of policies, and of generations by topic and number."""

    versions: Mapping[int, Version]
    generations: Mapping[tuple[str, int], Began]

    def version(self, number: int) -> Version | None:
        """A policy version; the one before the first redacts everything."""
        return Version(EMPTY.digest, EMPTY.seal, EMPTY.key_epoch) if number == EMPTY.version else self.versions.get(number)


def visible(entry: AuditEntry) -> int:
    """How many records the entry says that there are."""
    return entry.last_offset - entry.first_offset + 1 - sum(last - first + 1 for first, last in entry.gaps)


def published(entry: AuditEntry) -> int:
    """How many of them were published."""
    return entry.counts.get(Fate.MASKED, 0) + entry.counts.get(Fate.CONTROL, 0)


def faults(entry: AuditEntry, catalogued: Catalogued) -> Iterator[tuple[Code, str]]:
    """Each thing that is wrong with the entry."""
    if not 0 <= entry.first_offset <= entry.last_offset:
        yield Code.COUNTS, "its offsets are no range"
    yield from _counting(entry) if entry.accepted is None else _accepting(entry)
    yield from _policy(entry, catalogued)


def _counting(entry: AuditEntry) -> Iterator[tuple[Code, str]]:
    before = entry.first_offset - 1
    for first, last in entry.gaps:
        if not before < first <= last <= entry.last_offset:
            yield Code.COUNTS, "its gaps are not in order, or not among its offsets"
            break
        before = last
    if min(entry.counts.values(), default=0) < 0 or sum(entry.counts.values()) != visible(entry):
        yield Code.COUNTS, "its counts are not those of its offsets without the gaps"
    noted = Counter(note.fate for note in entry.notes)
    if any(noted[fate] != (0 if fate in (Fate.MASKED, Fate.CONTROL) else entry.counts.get(fate, 0)) for fate in Fate):
        yield Code.NOTES, "its notes are not as many as records were quarantined and dropped"
    before = entry.first_offset - 1
    for note in entry.notes:
        hidden = any(first <= note.offset <= last for first, last in entry.gaps)
        if (note.topic, note.partition) != (entry.topic, entry.partition) or hidden or not before < note.offset:
            yield Code.NOTES, f"its note of offset {note.offset} is not in order, or not of a record of this entry"
            break
        before = note.offset
    if entry.notes and before > entry.last_offset:
        yield Code.NOTES, f"its note of offset {before} is not of a record of this entry"


def _accepting(entry: AuditEntry) -> Iterator[tuple[Code, str]]:
    if any(entry.counts.values()) or entry.gaps or entry.notes or entry.columns or entry.root:
        yield Code.ACCEPTED, "it accepts that records were lost, and tells of records, too"


def _policy(entry: AuditEntry, catalogued: Catalogued) -> Iterator[tuple[Code, str]]:
    known = catalogued.version(entry.policy_version)
    if known is None:
        yield Code.POLICY, f"policy version {entry.policy_version} is not in the catalog"
    elif known != (entry.policy_digest, entry.policy_seal, entry.key_epoch):
        yield Code.POLICY, f"digest, seal or key epoch are not those of policy version {entry.policy_version} in the catalog"
    began = catalogued.generations.get((entry.topic, entry.generation))
    if began is None:
        yield Code.POLICY, f"generation {entry.generation} of the topic is not in the catalog"
        return
    if entry.key_epoch != began.key_epoch:
        yield Code.POLICY, f"its generation began with keys of epoch {began.key_epoch}, not {entry.key_epoch}"
    later = began.policy_version != entry.policy_version
    if entry.accepted is None and entry.shape_version != (began.policy_version if later else None):
        yield Code.POLICY, f"its generation began under policy version {began.policy_version}, whose shape rows keep"
