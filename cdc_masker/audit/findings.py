"""What verifying the audit comes to: findings, each with its place, and for each chain what was and could not be looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from cdc_masker.events import Record
from cdc_masker.heads import Chain

__all__ = ["Code", "Finding", "Report", "Summary", "Tally"]

_MOST_KEPT = 1000


class Code(StrEnum):
    """What is wrong."""

    # Entries by themselves, and their chain
    UNREADABLE = "unreadable"
    COUNTS = "counts"
    NOTES = "notes"
    POLICY = "policy"
    ACCEPTED = "accepted"
    BEGINNING = "beginning"
    CHAIN = "chain"
    HOLE = "hole"
    OVERLAP = "overlap"
    INCARNATION = "incarnation"
    # Entries beside what else tells of them
    ROW = "row"
    NOT_STORED = "not_stored"
    NOT_PUBLISHED = "not_published"
    HEAD = "head"
    CHECKPOINT = "checkpoint"
    # Records beside entries
    UNCOVERED = "uncovered"
    HIDDEN = "hidden"
    VANISHED = "vanished"
    FOREIGN = "foreign"
    EXTRA = "extra"
    ORDER = "order"
    MISSING = "missing"
    VERSION = "version"
    ROOT = "root"
    RECOMPUTED = "recomputed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it has to be, and where: `offset` is the source's, of a record or the first of an entry.

    `generation` is None, and `offset` the topic's own, for a record of the audit topic that is no entry.
    """

    code: Code
    generation: int | None
    topic: str
    incarnation: str
    partition: int
    offset: int | None
    problem: str

    def __str__(self) -> str:
        generation = "" if self.generation is None else f" generation {self.generation}"
        offset = "" if self.offset is None else f" offset {self.offset}"
        return f"{self.code} {self.topic}[{self.partition}]{generation}{offset}: {self.problem}"


@dataclass(slots=True)
class Summary:
    """What was looked at of one chain. `unchecked`: how many records or entries could not be checked, by the reason why not.

    `head` is the hash of the last entry; `waiting` counts raw records that nobody has masked yet.
    """

    chain: Chain
    entries: int = 0
    records: int = 0
    first_offset: int | None = None
    last_offset: int | None = None
    head: str = ""
    recomputed: int = 0
    waiting: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)


class Report:
    """All of it. `findings` keeps the first thousand, `total` counts them all."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.total = 0
        self.summaries: dict[Chain, Summary] = {}

    def of(self, chain: Chain) -> Summary:
        """The summary of a chain."""
        return self.summaries.setdefault(chain, Summary(chain))

    def found(self, code: Code, chain: Chain, offset: int | None, problem: str) -> None:
        self.add(Finding(code, chain.generation, chain.topic, chain.incarnation, chain.partition, offset, problem))

    def add(self, finding: Finding) -> None:
        self.total += 1
        if len(self.findings) < _MOST_KEPT:
            self.findings.append(finding)


class Tally:
    """Findings about single records, gathered: of each kind one is reported, at the first such record."""

    def __init__(self, report: Report, chain: Chain) -> None:
        self._report = report
        self._chain = chain
        self._first: dict[tuple[Code, str], tuple[int, str]] = {}
        self._counts: Counter[tuple[Code, str]] = Counter()

    def found(self, code: Code, offset: int, problem: str, masked: Record | None = None) -> None:
        """`masked` is the masked record that it is about."""
        where = "" if masked is None else f", at offset {masked.offset} of {masked.topic}"
        kind = code, problem
        self._first[kind] = min(self._first.get(kind, (offset, where)), (offset, where))
        self._counts[kind] += 1

    def close(self) -> None:
        """Reports what was gathered."""
        for (code, problem), (offset, where) in self._first.items():
            others = self._counts[code, problem] - 1
            more = f" (and {others:,} more records here)" if others else ""
            self._report.found(code, self._chain, offset, problem + where + more)
        self._first.clear()
        self._counts.clear()
