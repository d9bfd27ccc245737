"""The values that travel through the pipeline: frozen, and opaque to `repr` where they hold what a record held.

A `Record` is raw. An `Outcome` says what became of it and, where something may be published, holds the masked bytes. A
reader of a log or a traceback sees coordinates and codes only: no `repr` here shows a key, a value or a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from cdc_masker.errors import Reason

__all__ = ["Acceptance", "AuditEntry", "Fate", "Headers", "Note", "Outcome", "Record", "Treatment", "output_topic"]

Headers = tuple[tuple[str, bytes | None], ...]

# What an entry may hold, so that the catalog can: decoding one holds it to that (`cdc_masker.evidence`).
Text = Annotated[str, Meta(pattern=r"^[^\0]*$")]
Name = Annotated[str, Meta(pattern=r"^[^\0]*$", max_length=249)]  # as long as Kafka's; an index has room for two of them
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]  # the end of the year 9999
RecordTime = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # whatever a producer says


class Record(Struct, frozen=True, gc=False):
    """One Kafka record as it was consumed. `timestamp` is in milliseconds since the epoch; key and value are bytes or None.

    A struct, since one is made for each record that comes in, which takes a fraction of what a dataclass takes.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    def __repr__(self) -> str:
        return f"Record(topic={self.topic!r}, partition={self.partition}, offset={self.offset}, timestamp={self.timestamp})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("topic", self.topic), ("partition", self.partition), ("offset", self.offset)]


class Fate(StrEnum):
    """What became of one record; exactly one of these holds for each."""

    MASKED = "masked"
    CONTROL = "control"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, eq=False)
class Treatment:
    """What is done to the rows of one layout: for each column or path of the table (`schema.name`), the name of the method.

    Compared by identity: each plan has one, and counting by it costs nothing.
    """

    table: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record, and the masked record where there is one.

    `target` is the masked topic, None where nothing is published. `reason` is set then (quarantined, dropped), and `place` may
    name the part of the record that is at fault (`key`, `after`, `after.email` …). `treatments` has one for each row image and
    key that was masked, and `misfits` the columns with values that their method could not take, which are redacted, each with
    the method's reason.
    """

    fate: Fate
    topic: str
    partition: int
    offset: int
    timestamp: int
    target: str | None = None
    key: bytes | None = field(default=None, repr=False)
    value: bytes | None = field(default=None, repr=False)
    headers: Headers = field(default=(), repr=False)
    reason: Reason | None = None
    place: str | None = None
    misfits: tuple[tuple[str, str], ...] = ()
    treatments: tuple[Treatment, ...] = field(default=(), repr=False, compare=False)

    @property
    def published(self) -> bool:
        return self.target is not None


@dataclass(frozen=True, slots=True)
class Note:
    """All that is kept of a record that was not published: where it was and why, never what it held."""

    topic: Name
    partition: Number
    offset: Count
    timestamp: RecordTime
    fate: Fate
    reason: Reason
    place: Text | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Somebody accepted that records were lost before they were masked. `by` is who, as the catalog knows them.

    `incarnation` is the id of the topic that took the place of this one; None: it is still the same.
    """

    by: Text
    reason: Text
    incarnation: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What one batch did. Identified by (generation, incarnation, topic, partition, first_offset), and chained per these but
    the offset: `previous` is the hash of the entry before it, empty for the first.

    `incarnation` is Kafka's id of the source topic, so that a topic made anew starts over. The entries of a chain cover the
    source's offsets without a hole: each goes from where the one before ended to `last_offset`, both included, and `gaps` are
    the ranges (first, last) in which a `read_committed` reader sees no record. `counts` maps each fate to its number of
    records, `columns` each table, column and method to how often that method was applied, and `root` is the root of the Merkle
    tree over the records' leaves (`cdc_masker.evidence`). `notes` has one for each record that was not published.

    `masked_at` is in milliseconds since the epoch. Hashes are `sha256:…`. `policy_seal` stands for all versions up to this one;
    it is empty without a catalog, and for version 0. `shape_version` is the version whose shape the rows keep, None if that is
    `policy_version` itself. An entry with an acceptance covers records that were lost: it counts none and has no root.
    If it closes the chain, nobody knows how many there were, and it goes up to the last offset that Kafka knows, 2**63 - 1.
    """

    generation: Number
    incarnation: Name
    topic: Name
    partition: Number
    first_offset: Count
    last_offset: Count
    gaps: tuple[tuple[Count, Count], ...] = ()
    counts: Mapping[Fate, Count]
    columns: Mapping[Text, Mapping[Text, Mapping[Text, Count]]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    root: Text
    previous: Text
    policy_version: Count
    policy_digest: Text
    policy_seal: Text
    shape_version: Count | None = None
    key_epoch: Number
    masked_at: Time
    worker: Text
    program: Text
    accepted: Acceptance | None = None


def output_topic(prefix: str, topic: str, generation: int) -> str:
    """The topic that holds the masked copy of `topic`: each generation has one of its own."""
    return f"{prefix}{topic}" if generation == 1 else f"{prefix}{topic}.g{generation}"
