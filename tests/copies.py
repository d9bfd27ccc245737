"""A masked copy of one raw partition with its audit, in memory, made as a worker makes it; and what verifying it finds.

It has what there is to get right: gaps of aborted records, quarantined records, tombstones, truncations, policy versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cdc_masker.audit.chains import Told, Trail
from cdc_masker.audit.entries import Began, Catalogued, Version
from cdc_masker.audit.findings import Report
from cdc_masker.audit.published import Index
from cdc_masker.audit.records import RawLog, Recompute
from cdc_masker.audit.verifying import Copy, in_order, verify
from cdc_masker.batches import gathered
from cdc_masker.events import Acceptance, AuditEntry, Fate, Outcome, Record
from cdc_masker.evidence import audit_entry, encode_entry, head_of
from cdc_masker.exports import Exporter, Run
from cdc_masker.heads import Chain, Head
from cdc_masker.keys import Keyring, new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.ports import Unreadable

__all__ = [
    "KEYS",
    "TOPIC",
    "World",
    "documented_script",
    "event",
    "masker",
    "policies",
    "raw_records",
    "receipt",
    "verify_lives",
]

TOPIC = "shop.shop.customers"
KEYS: Keyring = new_keyring()

_VALUE = (
    b'{"before":null,"after":{"id":%d,"name":"N%d"},"source":{"version":"3","connector":"postgresql","name":"shop","ts_ms":1,'
    b'"snapshot":"false","db":"shop","schema":"shop","table":"customers","txId":7,"lsn":1,"xmin":null},"transaction":null,'
    b'"op":"%b","ts_ms":2}'
)


def event(offset: int, partition: int = 0) -> Record:
    """The raw record at an offset: most are inserts; some are no JSON, tombstones or truncations."""
    key: bytes | None = b'{"id":%d}' % offset
    value: bytes | None = _VALUE % (offset, offset, b"c")
    if offset % 11 == 3:
        value = b"{"
    elif offset % 11 == 5:
        value = None
    elif offset % 11 == 7:
        key, value = None, (_VALUE % (0, 0, b"t")).replace(b'"after":{"id":0,"name":"N0"}', b'"after":null')
    return Record(TOPIC, partition, offset, 1_700_000_000_000 + offset, key, value)


def raw_records(count: int, partition: int = 0, *, first: int = 0, hidden: Iterable[int] = ()) -> list[Record]:
    """The visible ones of so many; every tenth is hidden, as an aborted one or a marker is, and those that are named."""
    gone = {offset for offset in range(first, first + count) if offset % 10 == 9} | set(hidden)
    return [event(offset, partition) for offset in range(first, first + count) if offset not in gone]


def policies() -> list[Policy]:
    """Version 0, and two that were released; all keep `id`."""
    rules: list[dict[str, Any]] = [
        {"server": "*", "schema": "shop", "table": "customers", "column": "id", "method": "keep", "reason": "meaning"},
    ]
    name = {"server": "*", "schema": "shop", "table": "customers", "column": "name", "method": "tokenize", "type": "text"}
    documents = [{"version": 1, "rules": rules}, {"version": 2, "rules": [*rules, name]}]
    return [EMPTY, *(Policy.from_document({**each, "seal": f"sha256:{each['version']:02}"}) for each in documents)]


def masker(policy: Policy, generation: int = 1) -> Masker:
    """As a worker's, for a generation that began under version 1."""
    return Masker(policy, KEYS, generation=generation, began=policies()[1])


@dataclass
class World:
    """One copy, all of whose parts a test may change; `find` then says what verifying it finds."""

    raw: list[Record]
    masked: list[Record]
    entries: list[AuditEntry]
    partition: int = 0
    generation: int = 1
    incarnation: str = "topic-1"
    rows: list[AuditEntry | Unreadable] = field(default_factory=list)
    published: list[bytes] = field(default_factory=list)
    position: Head | None = None
    told: list[Told] = field(default_factory=list)
    retired: list[Run] = field(default_factory=list)
    start: int = 0
    compacted: bool = False
    behind: bool = False
    copied: int = 0
    span: tuple[int | None, int | None] = (None, None)

    @classmethod
    def make(cls, count: int = 60, batch: int = 10, partition: int = 0, generation: int = 1, **changes: Any) -> World:
        """So many offsets, masked in batches of so many; the first half of the batches under version 1, the rest under 2."""
        raw = raw_records(count, partition)
        masked: list[Record] = []
        entries: list[AuditEntry] = []
        for start in range(0, count, batch):
            policy = policies()[1 if start < count // 2 else 2]
            end = min(start + batch, count)
            made = masker(policy, generation)
            outcomes = [made.mask(each) for each in raw if start <= each.offset < end]
            masked += [as_record(outcome, len(masked) + number) for number, outcome in enumerate(_published(outcomes))]
            entries.append(
                audit_entry(
                    gathered(outcomes),
                    topic=TOPIC,
                    partition=partition,
                    start=start,
                    end=end,
                    previous=head_of(entries[-1]) if entries else "",
                    policy=policy,
                    shape_version=made.shape_version,
                    generation=generation,
                    incarnation=changes.get("incarnation", "topic-1"),
                    masked_at=1_800_000_000_000 + start,
                    worker="worker-1",
                )
            )
        world = cls(raw, masked, entries, partition, generation, **changes)
        world.publish()
        return world

    @property
    def chain(self) -> Chain:
        return Chain(self.generation, TOPIC, self.partition, self.incarnation)

    @property
    def head(self) -> Head:
        return Head(self.entries[-1].last_offset, head_of(self.entries[-1]))

    def publish(self) -> None:
        """Makes rows, audit topic and committed offset of the entries."""
        self.rows = list(self.entries)
        self.published = [encode_entry(entry) for entry in self.entries]
        self.position = self.head

    def close(self, incarnation: str, by: str = "somebody") -> None:
        """Ends the chain, because another topic took the place of this one."""
        last = self.entries[-1]
        acceptance = replace(
            last,
            first_offset=last.last_offset + 1,
            last_offset=2**63 - 1,
            gaps=(),
            counts=dict.fromkeys(Fate, 0),
            columns={},
            notes=(),
            root="",
            previous=self.head.hash,
            accepted=Acceptance(by, "a test", incarnation),
        )
        self.entries.append(acceptance)
        self.publish()

    def trail(self, report: Report, index: Index | None = None) -> Trail:
        if index is None:
            index = Index("cdc-masker.audit", settled=len(self.published), copied=self.copied)
            for at, value in enumerate(self.published):
                index.add(at, value, report)
        return Trail(self.chain, list(self.rows), index, self.position, self.told, self.retired, self.behind, *self.span)

    def find(self, *, recompute: Recompute | None = None, since: int = 0) -> Report:
        """What verifying it finds."""
        report = Report()
        raw = RawLog(self.raw, start=self.start, compacted=self.compacted)
        verify(Copy([self.trail(report)], self.masked, raw), self.catalogued, report, recompute=recompute, since=since)
        return report

    @property
    def catalogued(self) -> Catalogued:
        versions = {each.version: Version(each.digest, each.seal, each.key_epoch) for each in policies() if each.version}
        return Catalogued(versions, {(TOPIC, self.generation): Began(1, 1)})


def verify_lives(lives: Sequence[World], report: Report, *, since: int = 0) -> None:
    """Verifies one copy whose topic was made anew, once for each world."""
    successors = {
        each.chain: entry.accepted.incarnation
        for each in lives
        for entry in each.entries
        if entry.accepted is not None and entry.accepted.incarnation is not None
    }
    order = in_order([each.chain for each in lives], successors, lives[-1].incarnation, report)
    by_chain = {each.chain: each for each in lives}
    trails = [by_chain[chain].trail(report) for chain in order]
    masked = [record for chain in order for record in by_chain[chain].masked]
    raw = RawLog(lives[-1].raw, start=lives[-1].start)
    verify(Copy(trails, masked, raw), lives[-1].catalogued, report, since=since)


def receipt(entries: Sequence[AuditEntry]) -> Run:
    """What the receipt of retention says of these entries of a chain."""
    exporter = Exporter("2027-01")
    for entry in entries:
        exporter.line(entry)
    (run,) = exporter.manifest().runs
    return run


def as_record(outcome: Outcome, at: int) -> Record:
    """The masked record at that offset of its topic."""
    assert outcome.target is not None
    return Record(outcome.target, outcome.partition, at, outcome.timestamp, outcome.key, outcome.value, outcome.headers)


def documented_script() -> str:
    """The script in docs/audit.md that checks a proof."""
    page = Path(__file__).parents[1] / "docs" / "audit.md"
    return page.read_text().partition("<!-- tested: check_proof.py -->\n```python\n")[2].partition("```")[0]


def _published(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.published]
