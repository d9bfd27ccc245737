"""The entries of one chain, one after the other: that none is missing, none was changed, and none was added.

Four things hold an entry in its place: the hash of the one before, which it names; the offsets, which join; the audit topic,
which holds the same bytes; and heads that stand elsewhere, in the committed offset, in checkpoints and in receipts of what
retention took. What is said of an entry here is said without a look at any record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cdc_masker.audit.entries import Catalogued, faults
from cdc_masker.audit.findings import Code, Report
from cdc_masker.audit.published import Index
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import encode_entry, entry_hash
from cdc_masker.exports import Run
from cdc_masker.heads import Chain, Head
from cdc_masker.ports import Unreadable

__all__ = ["Told", "Trail", "walk"]


class Told(NamedTuple):
    """The head of a chain as something else tells of it: `by` names what."""

    by: str
    head: Head


@dataclass(frozen=True, slots=True)
class Trail:
    """All that there is of one chain, but records. `rows` are in the order of their first offsets.

    `index` is None where the audit topic is not compared. `position` is what the committed offset says: up to where the log was
    masked, and the head there; None where there is none. `told` is what else tells of heads, and `retired` what retention took,
    in the order of offsets. `behind`: rows are still on their way from the audit topic. A replay begins
    at offset `start` of the log, and has its bound before `end`.
    """

    chain: Chain
    rows: Iterable[AuditEntry | Unreadable]
    index: Index | None = None
    position: Head | None = None
    told: Sequence[Told] = ()
    retired: Sequence[Run] = ()
    behind: bool = False
    start: int | None = None
    end: int | None = None


def walk(trail: Trail, catalogued: Catalogued, report: Report) -> Iterator[AuditEntry | Run]:
    """The entries whose records can be looked at, and in their place what retention took; what is wrong is reported."""
    return _Walk(trail, catalogued, report).run()


class _Walk:
    def __init__(self, trail: Trail, catalogued: Catalogued, report: Report) -> None:
        self._trail = trail
        self._catalogued = catalogued
        self._report = report
        self._summary = report.of(trail.chain)
        self._head = ""
        self._next: int | None = None  # the offset at which the next entry has to begin; None: any
        self._policy_version = 0
        self._closed = False
        self._past = False
        self._retired = list(trail.retired)
        self._told: dict[int, list[Told]] = defaultdict(list)
        for told in trail.told:
            self._told[told.head.last_offset].append(told)
        receipts = [Told("the receipt of what retention took", Head(each.last_offset, each.head)) for each in trail.retired]
        for told in receipts:
            self._told[told.head.last_offset].append(told)
        self._published = None if trail.index is None else _Beside(trail, trail.index, report)

    def run(self) -> Iterator[AuditEntry | Run]:
        for row in self._trail.rows:
            if isinstance(row, Unreadable):
                self._found(Code.UNREADABLE, row.offset, row.problem)
                continue
            encoded = encode_entry(row)
            digest = entry_hash(encoded)
            yield from self._what_was_retired_before(row)
            overlaps = self._next is not None and row.first_offset < self._next
            self._check(row, digest)
            self._head = digest
            if overlaps:
                continue
            self._next = max(row.last_offset, row.first_offset) + 1
            self._summarise(row, digest)
            yield row
        yield from self._what_was_retired_before(None)
        self._check_end()

    def _found(self, code: Code, offset: int | None, problem: str) -> None:
        self._report.found(code, self._trail.chain, offset, problem)

    def _what_was_retired_before(self, row: AuditEntry | None) -> Iterator[Run]:
        """Goes over what retention took and no export holds."""
        while self._retired:
            part = self._retired[0]
            if row is not None and part.first_offset >= row.first_offset:
                return
            del self._retired[0]
            if part.previous == self._head and self._next in (None, part.first_offset):
                for offset in [each for each in self._told if part.first_offset <= each < part.last_offset]:
                    self._summary.unchecked["heads among entries that retention took"] += len(self._told.pop(offset))
                self._pass_told(part.last_offset, part.head)
                self._head, self._next = part.head, part.last_offset + 1
                self._summary.unchecked["entries that retention took: see --export"] += part.entries
                self._summary.head, self._summary.last_offset = self._head, part.last_offset
                if self._published is not None:
                    self._published.skip(part)
                yield part

    def _check(self, entry: AuditEntry, digest: str) -> None:
        at = entry.first_offset
        for code, problem in faults(entry, self._catalogued):
            self._found(code, at, problem)
        if self._next is None:
            if entry.previous:
                problem = "the chain's first entry names one before it, which is neither here nor in a receipt or an export"
                self._found(Code.BEGINNING, at, problem)
            if self._trail.start not in (None, at):
                self._found(Code.BEGINNING, at, f"the chain begins here, and its replay at offset {self._trail.start}")
        else:
            if entry.previous != self._head:
                self._found(Code.CHAIN, at, "it does not name the entry before it: one of the two was changed, or one is gone")
            if at > self._next:
                self._found(Code.HOLE, self._next, f"no entry covers offsets {self._next} to {at - 1}")
            elif at < self._next:
                self._found(Code.OVERLAP, at, f"offsets {at} to {min(entry.last_offset, self._next - 1)} are covered twice")
        if self._trail.end is not None and entry.last_offset >= self._trail.end and entry.accepted is None:
            self._found(Code.HEAD, at, f"it goes past the bound of its replay, {self._trail.end}")
        if self._closed:
            self._found(Code.ACCEPTED, at, "it comes after the entry that closed the chain")
        if entry.policy_version < self._policy_version:
            self._found(Code.POLICY, at, f"policy version {entry.policy_version} comes after {self._policy_version}")
        self._policy_version = max(self._policy_version, entry.policy_version)
        self._closed = self._closed or (entry.accepted is not None and entry.accepted.incarnation is not None)
        if self._published is not None:
            self._published.compare(entry, digest)
        position = self._trail.position
        if position is not None and entry.last_offset > position.last_offset and not self._past:
            self._past = True
            self._found(Code.HEAD, at, f"it goes past the committed offset, {position.last_offset + 1}")
        self._pass_told(entry.last_offset, digest)

    def _pass_told(self, last_offset: int, digest: str) -> None:
        """Compares with what else tells of the chain up to here."""
        for offset in sorted(each for each in self._told if each <= last_offset):
            for told in self._told.pop(offset):
                if (offset, told.head.hash) != (last_offset, digest):
                    problem = f"{told.by} tells of another entry that ended here: entries were made anew, or one is gone"
                    self._found(Code.CHECKPOINT, offset, problem)

    def _summarise(self, entry: AuditEntry, digest: str) -> None:
        summary = self._summary
        summary.entries += 1
        summary.records += sum(entry.counts.values())
        summary.first_offset = entry.first_offset if summary.first_offset is None else summary.first_offset
        summary.last_offset, summary.head = entry.last_offset, digest
        if entry.accepted is not None and entry.accepted.incarnation is None:
            summary.unchecked["offsets that somebody accepted as lost"] += entry.last_offset - entry.first_offset + 1
        elif entry.accepted is not None:
            summary.unchecked["topics of which somebody accepted that they were made anew"] += 1

    def _check_end(self) -> None:
        trail, position = self._trail, self._trail.position
        end = -1 if self._next is None else self._next - 1
        if self._published is not None:
            self._published.close(end)
        for offset in sorted(self._told):
            for told in self._told[offset]:
                problem = f"{told.by} tells of an entry that ended here, and the chain ends before: it was cut"
                self._found(Code.CHECKPOINT, offset, problem)
        if position is None:
            if not self._closed:
                self._summary.unchecked["chains without a committed offset that names their end"] += 1
        elif end < position.last_offset and position.hash:  # without a hash, nothing of this chain was masked yet
            if trail.behind:
                self._summary.unchecked["offsets whose rows are on their way"] += position.last_offset - end
            else:
                problem = f"the entries end here, and the committed offset is {position.last_offset + 1}: the rest was cut"
                self._found(Code.HEAD, end + 1, problem)
        elif end == position.last_offset and self._head != position.hash:
            self._found(Code.HEAD, end, "the committed offset names another last entry")


class _Beside:
    """The audit topic's entries of the chain, gone through beside its rows."""

    def __init__(self, trail: Trail, index: Index, report: Report) -> None:
        self._trail = trail
        self._index = index
        self._report = report
        self._entries = index.of(trail.chain)
        self._next = next(self._entries, None)
        self._begun = index.complete

    def compare(self, entry: AuditEntry, digest: str) -> None:
        """What the topic has for this row."""
        self._pass(entry.first_offset)
        published = self._next
        if published is None or published.first_offset != entry.first_offset:
            if self._begun:
                problem = "its row is not in the audit topic"
                self._report.found(Code.NOT_PUBLISHED, self._trail.chain, entry.first_offset, problem)
            else:
                self._report.of(self._trail.chain).unchecked["entries from before the audit topic's start"] += 1
            return
        if published.hash != digest:
            problem = f"its row is not what the audit topic holds at offset {published.at}"
            self._report.found(Code.ROW, self._trail.chain, entry.first_offset, problem)
        self._step()

    def skip(self, run: Run) -> None:
        """Goes past the entries of which a receipt says that their rows were retired: a chain of as many, with the same end."""
        self._pass(run.first_offset)
        whole, count, last = self._begun, 0, ""
        while self._next is not None and self._next.first_offset <= run.last_offset:
            if not self._next.follows:
                problem = f"the audit topic's entry at offset {self._next.at} does not name the entry before it, and has no row"
                self._report.found(Code.CHAIN, self._trail.chain, self._next.first_offset, problem)
            count, last = count + 1, self._next.hash
            self._step()
        if not whole and count < run.entries:  # the topic begins behind the first of them
            self._report.of(self._trail.chain).unchecked["entries from before the audit topic's start"] += run.entries - count
        elif count != run.entries:
            problem = f"a receipt of retention tells of {run.entries} entries from here on, the audit topic of {count}"
            self._report.found(Code.CHECKPOINT, self._trail.chain, run.first_offset, problem)
        if count and last != run.head:
            problem = "a receipt of retention names another entry that ended here than the audit topic"
            self._report.found(Code.CHECKPOINT, self._trail.chain, run.last_offset, problem)

    def close(self, end: int) -> None:
        """What the topic has behind the last row, which ends at offset `end`."""
        position = self._trail.position
        while self._next is not None:
            late = position is not None and self._next.first_offset > position.last_offset
            if late and self._next.at < self._index.settled:
                problem = f"the audit topic's entry at offset {self._next.at} is past the committed offset"
                self._report.found(Code.HEAD, self._trail.chain, self._next.first_offset, problem)
            elif not late and (not self._trail.behind or self._next.at < self._index.copied):
                self._not_stored(self._next.at, self._next.first_offset)
            self._step()

    def _pass(self, first_offset: int) -> None:
        while self._next is not None and self._next.first_offset < first_offset:
            self._not_stored(self._next.at, self._next.first_offset)
            self._step()

    def _not_stored(self, at: int, first_offset: int) -> None:
        problem = f"the audit topic's entry at offset {at} has no row"
        self._report.found(Code.NOT_STORED, self._trail.chain, first_offset, problem)

    def _step(self) -> None:
        self._begun = True
        self._next = next(self._entries, None)
