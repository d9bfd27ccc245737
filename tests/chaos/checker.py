"""What must hold of a deployment, whatever was done to it. Of values alone: `gathering` takes them from the real stack.

Each source record is masked anew, with the policy that the masked record's header names, else with that of the audit entry
which covers it. From this follow, one after another, the record that must be there (or the note), and the whole audit entry.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from cdc_masker import evidence
from cdc_masker.batches import gathered
from cdc_masker.events import AuditEntry, Fate, Note, Outcome, Record
from cdc_masker.leaks.search import Searcher
from cdc_masker.pipeline import HEADER, Masker

__all__ = [
    "Finding",
    "Makers",
    "Partition",
    "check_lag",
    "check_partition",
    "check_places",
    "check_rows",
    "check_verified",
    "check_written",
    "find_canaries",
]

Place = tuple[str, int]

_MOST = 20
"""Findings of one kind in one place that are told; more of them tell nothing new."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `kind` is one word, `place` a partition or a file."""

    kind: str
    place: str
    told: str


@dataclass(frozen=True, slots=True)
class Makers:
    """Who may have made entries: these workers, of this generation, from `since` to `until` in ms since the epoch."""

    generation: int
    workers: frozenset[str]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Partition:
    """A source partition and all that was made of it, each as a `read_committed` reader sees it, in the order of its log.

    `incarnation` is its topic's, `masked` the copy, `notes` the quarantine's, `entries` the audit's as they stand in their
    topic.
    """

    topic: str
    number: int
    incarnation: str
    makers: Makers
    raw: Iterable[Record] = field(repr=False)
    masked: Iterable[Record] = field(repr=False)
    notes: Sequence[Note]
    entries: Sequence[bytes] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


def check_partition(partition: Partition, masker_of: Callable[[int], Masker]) -> list[Finding]:
    """Exactly one outcome for each record, in order, with the very bytes that masking it again gives, and the audit of it.

    `masker_of` gives the masker of a policy version.
    """
    findings = list(_Check(partition, masker_of).run())
    return [each for _, alike in groupby(sorted(findings, key=_kind), _kind) for each in list(alike)[:_MOST]]


def check_rows(entries: Iterable[bytes], rows: Iterable[str], notes: Iterable[str]) -> list[Finding]:
    """Rows are the entries and their notes, each once. They are told as `entry_row` and `note_row` write them."""
    decoded = [evidence.decode_entry(entry) for entry in entries]
    expected = [entry_row(entry) for entry in decoded], [note_row(note) for entry in decoded for note in entry.notes]
    findings = []
    for kind, wanted, found in (("rows", expected[0], list(rows)), ("note rows", expected[1], list(notes))):
        findings += [Finding(kind, "PostgreSQL", f"missing: {each}") for each in sorted(set(wanted) - set(found))[:_MOST]]
        findings += [Finding(kind, "PostgreSQL", f"too many: {each}") for each in sorted(set(found) - set(wanted))[:_MOST]]
        if len(found) != len(set(found)):
            findings.append(Finding(kind, "PostgreSQL", "some are there twice"))
    return findings


def entry_row(entry: AuditEntry) -> str:
    """What a row must say, as `psql` prints it."""
    counts = (entry.counts[fate] for fate in Fate)
    where = (entry.generation, entry.incarnation, entry.topic, entry.partition, entry.first_offset, entry.last_offset)
    return "|".join(
        map(str, (*where, entry.root, entry.previous, entry.policy_version, entry.masked_at, entry.worker, *counts))
    )


def note_row(note: Note) -> str:
    return f"{note.topic}|{note.partition}|{note.offset}|{note.timestamp}|{note.fate}|{note.reason}|{note.place or ''}"


def check_places(what: str, found: Iterable[Place], sources: Iterable[Place]) -> list[Finding]:
    """Notes or entries are of source partitions only."""
    strange = sorted(set(found) - set(sources))
    return [Finding("invented", f"{topic}[{number}]", f"{what} of a partition that is no source") for topic, number in strange]


def check_written(read: Mapping[str, int], written: Mapping[str, tuple[int, int]]) -> list[Finding]:
    """What was read of each source partition is what was written into it: so many records, and so many more that the source
    can't tell of at most. Each partition was written into.
    """
    findings = []
    for partition, (sure, doubtful) in written.items():
        found = read.get(partition, 0)
        if not sure:
            findings.append(Finding("source", partition, "nothing was written into it"))
        if not sure <= found <= sure + doubtful:
            findings.append(Finding("source", partition, f"{found} records read, {sure} to {sure + doubtful} written"))
    return findings


def check_verified(code: int, told: str) -> list[Finding]:
    """`cdc-masker audit verify` came to its end and found nothing."""
    if code == 0:
        return []
    return [Finding("verify", f"exit code {code}", line) for line in told.splitlines() or ["it ended without a word"]]


def check_lag(ends: Mapping[str, int], committed: Mapping[str, int]) -> list[Finding]:
    """Masking got to the end (the offset after the last visible record) of each partition."""
    return [
        Finding("lag", partition, f"masked up to {committed.get(partition, 0)} of {end}")
        for partition, end in ends.items()
        if committed.get(partition, 0) < end
    ]


def find_canaries(canary: bytes, place: str, chunks: Iterable[bytes]) -> list[Finding]:
    """The canary, in any encoding that `cdc-masker leaks` knows."""
    found = islice(Searcher({canary: ("name",)}).find(chunks), _MOST)
    return [Finding("canary", place, f"{each.encoding} at byte {each.position}") for each in found]


def _kind(finding: Finding) -> str:
    return finding.kind


class _Check:
    """One partition, in one pass over its logs."""

    def __init__(self, partition: Partition, masker_of: Callable[[int], Masker]) -> None:
        self._partition = partition
        self._masker_of = masker_of
        self._masked = iter(partition.masked)
        self._next = next(self._masked, None)
        self._notes = {note.offset: note for note in partition.notes}
        self._last = -1

    def run(self) -> Iterator[Finding]:
        if len(self._notes) != len(self._partition.notes):
            yield self._finding("twice", "a record has two quarantine notes")
        raw = iter(self._partition.raw)
        record = next(raw, None)
        position, head = 0, ""
        for encoded in self._partition.entries:
            entry = evidence.decode_entry(encoded)
            if entry.first_offset != position:
                yield self._finding("tiling", f"an entry begins at {entry.first_offset} in place of {position}")
            if entry.previous != head:
                yield self._finding("chain", f"the entry from {entry.first_offset} on does not name the one before it")
            outcomes = []
            while record is not None and record.offset <= entry.last_offset:
                outcomes.append((yield from self._outcome(record, entry)))
                record = next(raw, None)
            yield from self._entry(entry, outcomes)
            position, head = entry.last_offset + 1, evidence.entry_hash(encoded)
        while record is not None:
            yield self._finding("uncovered", f"offset {record.offset} is in no audit entry")
            record = next(raw, None)
        while self._next is not None:
            yield self._finding("invented", f"after all records, a masked one of offset {self._source(self._next)[0]}")
            self._advance()
        for offset in self._notes:
            yield self._finding("invented", f"a quarantine note of offset {offset}")

    def _outcome(self, record: Record, entry: AuditEntry) -> Generator[Finding, None, Outcome]:
        """The outcome that the record must have; what is there has to be that."""
        while self._next is not None and self._source(self._next)[0] < record.offset:
            offset, _ = self._source(self._next)
            kind = "order" if offset <= self._last else "invented"
            yield self._finding(kind, f"a masked record of offset {offset} before that of {record.offset}")
            self._advance()
        found, version = None, entry.policy_version
        if self._next is not None and self._source(self._next)[0] == record.offset:
            found, (_, version) = self._next, self._source(self._next)
            self._last = record.offset
            self._advance()
        if version != entry.policy_version:
            yield self._finding("version", f"offset {record.offset} has {version}, its audit entry {entry.policy_version}")
        outcome = self._masker_of(version).mask(record)
        yield from self._compared(outcome, found)
        return outcome

    def _compared(self, outcome: Outcome, found: Record | None) -> Iterator[Finding]:
        note = self._notes.pop(outcome.offset, None)
        noted = outcome.fate is Fate.QUARANTINED
        if (found is None and outcome.published) or (note is None and noted):
            yield self._finding("lost", f"offset {outcome.offset} has no outcome, and should be {outcome.fate}")
        if found is not None and note is not None:
            yield self._finding("twice", f"offset {outcome.offset} is masked and quarantined")
        if found is not None:
            made = (outcome.timestamp, outcome.key, outcome.value, outcome.headers)
            if (found.timestamp, found.key, found.value, tuple(found.headers)) != made:
                yield self._finding("impure", f"masking offset {outcome.offset} again gives other bytes")
        if note is not None and (note.timestamp, note.fate, note.reason, note.place) != (
            outcome.timestamp, outcome.fate, outcome.reason, outcome.place
        ):  # fmt: skip
            yield self._finding("impure", f"masking offset {outcome.offset} again gives another note")

    def _entry(self, entry: AuditEntry, outcomes: list[Outcome]) -> Iterator[Finding]:
        if not outcomes:
            yield self._finding("entry", f"the one from {entry.first_offset} on covers no record")
            return
        masker, makers = self._masker_of(entry.policy_version), self._partition.makers
        expected = evidence.audit_entry(
            gathered(outcomes),
            topic=self._partition.topic,
            partition=self._partition.number,
            start=entry.first_offset,
            end=entry.last_offset + 1,
            previous=entry.previous,
            policy=masker.policy,
            shape_version=masker.shape_version,
            generation=makers.generation,
            incarnation=self._partition.incarnation,
            masked_at=entry.masked_at,
            worker=entry.worker,
        )
        if expected != entry:
            names = [name for name in entry.__slots__ if getattr(entry, name) != getattr(expected, name)]
            yield self._finding("entry", f"that from {entry.first_offset} on is wrong in {', '.join(names)}")
        if entry.worker not in makers.workers or not makers.since <= entry.masked_at <= makers.until:
            yield self._finding("maker", f"no worker of the run made the entry from {entry.first_offset} on when it says")

    def _source(self, masked: Record) -> tuple[int, int]:
        """The offset and the policy version that a masked record's header names."""
        told = dict(item.split("=") for item in (dict(masked.headers)[HEADER] or b"").decode().split(";"))
        return int(told["o"]), int(told["pv"])

    def _advance(self) -> None:
        self._next = next(self._masked, None)

    def _finding(self, kind: str, told: str) -> Finding:
        return Finding(kind, str(self._partition), told)
