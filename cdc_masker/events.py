"""The values that travel through the pipeline: frozen, and opaque to `repr` where they hold what a record held.

A `Record` is raw. An `Outcome` says what became of it and, where something may be published, holds the masked bytes. A
reader of a log or a traceback sees coordinates and codes only: no `repr` here shows a key, a value or a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cdc_masker.errors import Reason

__all__ = ["AuditEntry", "Fate", "Headers", "Outcome", "QuarantineNote", "Record", "output_topic"]

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it was consumed. `timestamp` is in milliseconds since the epoch; key and value are bytes or None."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(default=(), repr=False)


class Fate(StrEnum):
    """What became of one record; exactly one of these holds for each."""

    MASKED = "masked"
    CONTROL = "control"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record, and the masked record where there is one.

    `target` is the masked topic, None where nothing is published (quarantined, dropped). `reason` is set when quarantined, and
    `place` then names the part of the record that is at fault (`key`, `after`, `after.email` …). `misfits` are the columns with
    values that their method could not take, which are redacted, each with the method's reason.
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

    @property
    def published(self) -> bool:
        return self.target is not None


@dataclass(frozen=True, slots=True)
class QuarantineNote:
    """All that is kept of a record that could not be masked: where it was and why, never what it held."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: Reason
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What one batch did. Identified by (generation, incarnation, topic, partition, first_offset).

    `incarnation` is Kafka's id of the source topic, so that a topic made anew starts over. `counts` maps each fate to its
    number of records. `masked_at` is in milliseconds since the epoch. `policy_digest` is `sha256:…`, and
    so is `policy_seal`, which stands for all versions up to this one; it is empty without a catalog, and for version 0.
    `shape_version` is the version whose shape the rows keep, None if that is `policy_version` itself.
    """

    generation: int
    incarnation: str
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    counts: Mapping[Fate, int]
    policy_version: int
    policy_digest: str
    policy_seal: str
    key_epoch: int
    masked_at: int
    worker: str
    program: str
    quarantined: tuple[QuarantineNote, ...] = ()
    shape_version: int | None = None


def output_topic(prefix: str, topic: str, generation: int) -> str:
    """The topic that holds the masked copy of `topic`: each generation has one of its own."""
    return f"{prefix}{topic}" if generation == 1 else f"{prefix}{topic}.g{generation}"
