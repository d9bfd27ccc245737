"""The records of one masked copy beside the entries that cover them.

Both the masked and the raw partition are gone through once, forward, as entries come; a few records ahead are all that is held.
What always holds: each record of either is either found to be of an entry, or reported.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from cdc_masker import merkle
from cdc_masker.audit.entries import published, visible
from cdc_masker.audit.findings import Code, Report, Tally
from cdc_masker.batches import Misfit, misfits_of
from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import AuditEntry, Fate, Note, Outcome, Record, Treatment
from cdc_masker.evidence import count_columns
from cdc_masker.heads import Chain
from cdc_masker.leaves import leaf, leaf_of
from cdc_masker.pipeline import HEADER

__all__ = ["Made", "MaskedCopy", "NotCheckable", "RawLog", "Recompute", "check", "leaf_data", "read_origin", "skip"]

_AHEAD = 16  # masked records that are looked at to tell one that is out of place from others that are gone
_NUMBER = rb"(0|[1-9][0-9]{0,17})"
_ORIGIN = re.compile(
    rb"v=1;p=%b;o=%b;g=%b;pv=%b;ke=%b(?:;sv=%b)?(;f=control)?" % (_NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER)
)


class NotCheckable(CdcMaskerError):
    """A record can't be masked anew; the text says why, for counting."""


class Made(NamedTuple):
    """A masked record and what its header says: of which record, by what."""

    offset: int
    fate: Fate
    partition: int
    generation: int
    policy_version: int
    key_epoch: int
    shape_version: int | None
    record: Record


class Recompute(Protocol):
    """Masks records anew (`cdc_masker.audit.recomputing`)."""

    def draws(self, record: Record) -> bool:
        """Whether this record is one to mask anew."""
        ...

    def mask(self, entry: AuditEntry, record: Record, one: Made | Note) -> tuple[Outcome | None, str | None]:
        """The raw record's outcome, None if it was masked otherwise than the entry says; and what is found wrong in what was
        published of it, None if nothing is.

        Raises `NotCheckable`.
        """
        ...


class _Ahead:
    """Records one after the other, with a look at what follows."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._records = iter(records)
        self._ahead: deque[Any] = deque()

    def peek(self) -> Any | None:
        return next(self.following(1), None)

    def following(self, count: int) -> Iterator[Any]:
        for number in range(count):
            if number == len(self._ahead):
                found = next(self._records, None)
                if found is None:
                    return
                self._ahead.append(found)
            yield self._ahead[number]

    def drop(self) -> None:
        self._ahead.popleft()


class MaskedCopy:
    """The masked partition that copies one raw partition, read once. Records without our header are reported as they come."""

    def __init__(self, chain: Chain, records: Iterable[Record], report: Report) -> None:
        self._report = report
        self._chain = chain
        self._records = _Ahead(self._made(records))
        self._taken = -1
        self._another = False

    def begin(self, chain: Chain, *, another: bool) -> None:
        """A chain begins, and its offsets start over. `another`: it is not the last one."""
        self._chain, self._taken, self._another = chain, -1, another

    def of(self, entry: AuditEntry, tally: Tally) -> Iterator[Made]:
        """The records of that entry, in their order; those out of place are reported."""
        last, wanted = entry.first_offset - 1, published(entry)
        while (made := self._records.peek()) is not None:
            if wanted <= 0 and self._another:  # what follows may be of the next chain, whose offsets say nothing here
                return
            if made.offset > entry.last_offset:
                ahead = self._records.following(_AHEAD)
                if wanted <= 0 or not any(last < each.offset <= entry.last_offset for each in ahead):
                    return
                tally.found(Code.ORDER, made.offset, "the masked record comes before others that it has to follow", made.record)
            elif made.offset > last:
                self._taken = last = made.offset
                wanted -= 1
                self._records.drop()
                yield made
                continue
            elif made.offset <= self._taken:
                tally.found(Code.ORDER, made.offset, "the masked record comes again, or too late", made.record)
            else:
                tally.found(Code.EXTRA, made.offset, "the masked record is of no entry", made.record)
            self._records.drop()

    def skip(self, last_offset: int) -> int:
        """Passes over records up to that offset, and gives their number."""
        count = 0
        while (made := self._records.peek()) is not None and self._taken < made.offset <= last_offset:
            self._taken, count = made.offset, count + 1
            self._records.drop()
        return count

    def rest(self) -> Iterator[Made]:
        """What is behind the last entry."""
        while (made := self._records.peek()) is not None:
            self._records.drop()
            yield made

    def _made(self, records: Iterable[Record]) -> Iterator[Made]:
        for record in records:
            made = read_origin(record)
            if made is None or (made.partition, made.generation) != (self._chain.partition, self._chain.generation):
                problem = f"offset {record.offset} of {record.topic} is no record of this copy"
                self._report.found(Code.FOREIGN, self._chain, None if made is None else made.offset, problem)
            else:
                yield made


class RawLog:
    """The raw partition, read once. `start` is where its log begins; in a `compacted` one records vanish."""

    def __init__(self, records: Iterable[Record], *, start: int, compacted: bool = False) -> None:
        self._records = _Ahead(records)
        self._start = start
        self._compacted = compacted

    def of(self, entry: AuditEntry, tally: Tally) -> Iterator[Record]:
        """The records of that entry; those before, which are of none, are reported."""
        while (record := self._records.peek()) is not None and record.offset <= entry.last_offset:
            if record.offset < entry.first_offset:
                tally.found(Code.UNCOVERED, record.offset, "the raw record is in no entry")
            else:
                yield record
            self._records.drop()

    def may_lack(self, offset: int) -> bool:
        """Whether a record may be gone from there."""
        return self._compacted or offset < self._start

    def expected(self, entry: AuditEntry) -> int:
        """How many of the entry's records have to be there."""
        if self._compacted or entry.last_offset < self._start:
            return 0
        gone = [(first, last) for first, last in entry.gaps if last >= self._start]
        hidden = sum(last - max(first, self._start) + 1 for first, last in gone)
        return entry.last_offset - max(entry.first_offset, self._start) + 1 - hidden

    def skip(self, last_offset: int) -> None:
        while (record := self._records.peek()) is not None and record.offset <= last_offset:
            self._records.drop()

    def rest(self) -> Iterator[Record]:
        while (record := self._records.peek()) is not None:
            self._records.drop()
            yield record


def check(
    entry: AuditEntry, chain: Chain, masked: MaskedCopy | None, raw: RawLog | None, report: Report, recompute: Recompute | None
) -> None:
    """Holds the entry against its records. Where a partition is not there, what depends on it is counted as unchecked."""
    tally, unchecked = Tally(report, chain), report.of(chain).unchecked
    if entry.accepted is not None:
        for record in () if raw is None else raw.of(entry, tally):
            tally.found(Code.ACCEPTED, record.offset, "the raw record is there, and was accepted as lost")
        tally.close()
        return
    look = _Look(entry, chain, tally, report, raw, recompute)
    sources: list[Iterable[tuple[int, Any]]] = [((note.offset, note) for note in _notes(entry))]
    if masked is not None:
        sources.append((made.offset, made) for made in masked.of(entry, tally))
    if raw is not None:
        sources.append((record.offset, record) for record in raw.of(entry, tally))
    for offset, group in groupby(merge(*sources, key=itemgetter(0)), key=itemgetter(0)):
        look.at(offset, [each for _, each in group], whole=masked is not None)
    if masked is None:
        unchecked["records whose masked copy is gone"] += published(entry)
    else:
        look.compare_root()
    if raw is None:
        unchecked["records whose raw topic is gone, or was made anew"] += visible(entry)
    else:
        look.compare_raw(raw)
        look.compare_columns()
    tally.close()


def skip(last_offset: int, masked: MaskedCopy | None, raw: RawLog | None) -> None:
    """Passes over what is covered up to that offset."""
    if masked is not None:
        masked.skip(last_offset)
    if raw is not None:
        raw.skip(last_offset)


def leaf_data(one: Made | Note) -> bytes:
    """The leaf of a masked record, or of a note."""
    if isinstance(one, Note):
        return leaf_of(one)
    record = one.record
    return leaf(one.offset, one.fate, None, None, record.timestamp, record.key, record.value, record.headers)


class _Look:
    """What was seen of one entry's records."""

    def __init__(
        self,
        entry: AuditEntry,
        chain: Chain,
        tally: Tally,
        report: Report,
        raw: RawLog | None,
        recompute: Recompute | None,
    ) -> None:
        self._entry = entry
        self._chain = chain
        self._tally = tally
        self._report = report
        self._raw = raw
        self._recompute = recompute
        self._gaps = iter(entry.gaps)
        self._gap: tuple[int, int] | None = next(self._gaps, None)
        self._leaves: list[bytes] = []
        self._fates: Counter[Fate] = Counter()
        self._anew = 0
        self._treatments: Counter[Treatment] = Counter()
        self._misfits: Counter[Misfit] = Counter()
        self._seen = 0
        self._vanished = 0

    def at(self, offset: int, found: list[Any], *, whole: bool) -> None:
        """Looks at what was found at an offset: of the raw record, the masked record and the note, one of each at most."""
        records = [each for each in found if isinstance(each, Record)]
        made = [each for each in found if not isinstance(each, Record)]
        if self._in_gap(offset):
            self._tally.found(Code.HIDDEN, offset, "the entry says that there is no record here, and there is one")
        elif records:
            self._seen += 1
            if whole and not made:
                self._tally.found(Code.MISSING, offset, "the raw record has no outcome")
        elif self._raw is not None and not self._raw.may_lack(offset):
            self._vanished += 1
            self._tally.found(Code.VANISHED, offset, "the raw record is gone, and the log still has those before it")
        for one in made:
            self._made(one)
        if records and len(made) == 1 and self._recompute is not None and self._recompute.draws(records[0]):
            self._mask_anew(records[0], made[0])

    def compare_root(self) -> None:
        """That the records are those that the root stands for."""
        entry = self._entry
        missing = published(entry) - self._fates[Fate.MASKED] - self._fates[Fate.CONTROL]
        if missing > 0:
            problem = f"{missing:,} of {published(entry):,} masked records of the entry are not in the masked topic"
            self._report.found(Code.MISSING, self._chain, entry.first_offset, problem)
        elif any(self._fates[fate] != entry.counts.get(fate, 0) for fate in Fate):
            problem = "the entry's counts are not those of its masked records and notes"
            self._report.found(Code.COUNTS, self._chain, entry.first_offset, problem)
        if f"sha256:{merkle.root(self._leaves).hex()}" != entry.root:
            problem = "the root is not that of the masked records and notes: one of them was changed, added or taken out"
            self._report.found(Code.ROOT, self._chain, entry.first_offset, problem)

    def compare_raw(self, raw: RawLog) -> None:
        """That no raw record is gone that can't be."""
        entry, expected = self._entry, raw.expected(self._entry)
        gone = visible(entry) - max(self._seen, expected)
        if gone > 0:
            self._report.of(self._chain).unchecked["raw records that expired, or were compacted away"] += gone
        if (vanished := expected - self._seen) > self._vanished:
            problem = f"{vanished:,} raw records of the entry are gone, and the log still has those before it"
            self._report.found(Code.VANISHED, self._chain, entry.first_offset, problem)

    def compare_columns(self) -> None:
        """That what was done to columns was counted right, where every record was masked anew and came out the same."""
        if self._anew < visible(self._entry):
            return
        if count_columns(self._treatments, self._misfits) != self._entry.columns:
            problem = "the entry's counts by column and method are not those of masking its raw records anew"
            self._report.found(Code.RECOMPUTED, self._chain, self._entry.first_offset, problem)

    def _in_gap(self, offset: int) -> bool:
        while self._gap is not None and self._gap[1] < offset:
            self._gap = next(self._gaps, None)
        return self._gap is not None and self._gap[0] <= offset

    def _made(self, one: Made | Note) -> None:
        self._leaves.append(merkle.leaf_hash(leaf_data(one)))
        self._fates[one.fate] += 1
        entry = self._entry
        if isinstance(one, Made) and (one.policy_version, one.key_epoch, one.shape_version) != (
            entry.policy_version,
            entry.key_epoch,
            entry.shape_version,
        ):
            problem = "the masked record's header names another policy version or key epoch than its entry"
            self._tally.found(Code.VERSION, one.offset, problem, one.record)

    def _mask_anew(self, record: Record, one: Made | Note) -> None:
        assert self._recompute is not None
        summary = self._report.of(self._chain)
        try:
            outcome, problem = self._recompute.mask(self._entry, record, one)
        except NotCheckable as reason:
            summary.unchecked[str(reason)] += 1
            return
        summary.recomputed += 1
        if problem is not None:
            self._tally.found(Code.RECOMPUTED, record.offset, problem)
        elif outcome is not None:
            self._anew += 1
            self._treatments.update(outcome.treatments)
            self._misfits.update(misfits_of(outcome))


def _notes(entry: AuditEntry) -> list[Note]:
    """The notes of its records, in their order."""
    notes = [note for note in entry.notes if entry.first_offset <= note.offset <= entry.last_offset]
    return sorted(notes, key=lambda note: note.offset)


def read_origin(record: Record) -> Made | None:
    """A masked record and what its header says; None if the header is not ours."""
    if not record.headers or record.headers[-1][0] != HEADER:
        return None
    found = _ORIGIN.fullmatch(record.headers[-1][1] or b"")
    if found is None:
        return None
    partition, offset, generation, policy, epoch, shape, control = found.groups()
    return Made(
        int(offset),
        Fate.MASKED if control is None else Fate.CONTROL,
        int(partition),
        int(generation),
        int(policy),
        int(epoch),
        None if shape is None else int(shape),
        record,
    )
