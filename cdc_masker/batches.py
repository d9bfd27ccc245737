"""What became of a batch, as it travels from the masker to the publisher and to the audit.

What always holds: a batch says what the outcomes of its records say, each for itself and in their order. So it makes no
difference whether one core masked it, or both, or whether that was done at once or in parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, runtime_checkable

from cdc_masker import merkle
from cdc_masker.events import Fate, Note, Outcome, Treatment
from cdc_masker.leaves import leaf_of
from cdc_masker.methods import Subjects

__all__ = [
    "Encoded",
    "EncodedRows",
    "MaskedBatch",
    "Masking",
    "Misfit",
    "Row",
    "counted",
    "gathered",
    "misfits_of",
    "notes_of",
    "row_of",
]

Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
"""A masked record as it is published: timestamp in ms since the epoch, key, value, headers."""

Misfit = tuple[str, str, str]
"""That a record has a value which its method could not take: table (`schema.name`), column and the method's reason."""


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """What became of consecutive records of one partition, those of `offsets`.

    `rows` are the records to publish, in order. `root` is that of the Merkle tree over the leaves of all records
    (`cdc_masker.merkle`), of 32 bytes, and `notes` has one for each record that is not published. `fates` counts records,
    `treatments` the keys and row images that were masked so, and `misfits` the records that have one.
    """

    offsets: tuple[int, ...]
    rows: Sequence[Row] = field(repr=False)
    root: bytes
    notes: tuple[Note, ...]
    fates: Mapping[Fate, int]
    treatments: Mapping[Treatment, int] = field(repr=False)
    misfits: Mapping[Misfit, int]


class Encoded(Protocol):
    """A record batch of Kafka's, with the space that it takes, in bytes, and its records."""

    @property
    def size(self) -> int: ...

    @property
    def count(self) -> int: ...

    def build(self, producer_id: int, producer_epoch: int, base_sequence: int) -> bytes:
        """The bytes, as a transaction of that producer sends them."""
        ...


@runtime_checkable
class EncodedRows(Protocol):
    """Rows that lie in memory as Kafka writes them."""

    def encode(self, most_bytes: int) -> Sequence[Encoded]:
        """The rows in as few batches of at most `most_bytes` as they fit in. A row that is too large for one gets its own."""
        ...


class Masking(Protocol):
    """A batch that is being masked. `ahead` comes first, then `go_on` until nothing is left, then `batch`."""

    @property
    def left(self) -> Sequence[int]:
        """The places of the records that have no outcome yet."""
        ...

    def ahead(self) -> None:
        """Masks what can be masked without holding up other threads, and nobody is asked for. Any thread may call it."""
        ...

    def go_on(self, places: Sequence[int], subjects: Subjects) -> None:
        """Masks these records, which are left. Those whose subjects have no key stay left: raises `MissingSubject` then, after
        `subjects` was asked for all of them.
        """
        ...

    def batch(self) -> MaskedBatch:
        """What became of all records. Asked for once."""
        ...


def gathered(outcomes: Sequence[Outcome]) -> MaskedBatch:
    """The batch of records with these outcomes, which are of one partition and in its order."""
    fates, treatments, misfits = counted(outcomes)
    return MaskedBatch(
        offsets=tuple([one.offset for one in outcomes]),
        rows=tuple([row_of(one) for one in outcomes if one.published]),
        root=merkle.root([merkle.leaf_hash(leaf_of(one)) for one in outcomes]),
        notes=notes_of(outcomes),
        fates=fates,
        treatments=treatments,
        misfits=misfits,
    )


def counted(outcomes: Sequence[Outcome]) -> tuple[Counter[Fate], Counter[Treatment], Counter[Misfit]]:
    """What `MaskedBatch` counts: fates, treatments and misfits."""
    return (
        Counter([one.fate for one in outcomes]),
        Counter(chain.from_iterable([one.treatments for one in outcomes])),
        Counter(chain.from_iterable([misfits_of(one) for one in outcomes if one.misfits])),
    )


def row_of(one: Outcome) -> Row:
    """The row of a record that is published."""
    return one.timestamp, one.key, one.value, list(one.headers)


def notes_of(outcomes: Sequence[Outcome]) -> tuple[Note, ...]:
    """The notes of those that are not published."""
    return tuple(
        [
            Note(one.topic, one.partition, one.offset, one.timestamp, one.fate, one.reason, one.place)
            for one in outcomes
            if one.reason is not None
        ]
    )


def misfits_of(outcome: Outcome) -> list[Misfit]:
    """What one record counts for in `MaskedBatch.misfits`."""
    return [(outcome.treatments[0].table, column, reason) for column, reason in outcome.misfits]
