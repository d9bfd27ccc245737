"""What became of a batch, as it travels from the masker to the publisher and to the audit.

What always holds: a batch says what the outcomes of its records say, each for itself and in their order, and batches that
follow each other say together what the whole would. So whatever masks a batch may do it at once, in slices, or record by
record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from cdc_masker import merkle
from cdc_masker.events import Fate, Note, Outcome, Treatment
from cdc_masker.leaves import leaf_of

__all__ = ["MaskedBatch", "Misfit", "Row", "gathered", "joined", "misfits_of"]

Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
"""A masked record as it is published: timestamp in ms since the epoch, key, value, headers."""

Misfit = tuple[str, str, str]
"""That a record has a value which its method could not take: table (`schema.name`), column and the method's reason."""

_Counted = TypeVar("_Counted", bound=Hashable)


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """What became of consecutive records of one partition, those of `offsets`.

    `rows` are the records to publish, in order. `leaves` are the hashes of the leaves of all records, of 32 bytes
    (`cdc_masker.merkle`), and `notes` has one for each record that is not published. `fates` counts records, `treatments` the
    keys and row images that were masked so, and `misfits` the records that have one.
    """

    offsets: tuple[int, ...]
    rows: tuple[Row, ...] = field(repr=False)
    leaves: tuple[bytes, ...] = field(repr=False)
    notes: tuple[Note, ...]
    fates: Mapping[Fate, int]
    treatments: Mapping[Treatment, int] = field(repr=False)
    misfits: Mapping[Misfit, int]


def gathered(outcomes: Sequence[Outcome]) -> MaskedBatch:
    """The batch of records with these outcomes, which are of one partition and in its order."""
    return MaskedBatch(
        offsets=tuple([one.offset for one in outcomes]),
        rows=tuple([(one.timestamp, one.key, one.value, list(one.headers)) for one in outcomes if one.published]),
        leaves=tuple([merkle.leaf_hash(leaf_of(one)) for one in outcomes]),
        notes=tuple(
            [
                Note(one.topic, one.partition, one.offset, one.timestamp, one.fate, one.reason, one.place)
                for one in outcomes
                if one.reason is not None
            ]
        ),
        fates=Counter([one.fate for one in outcomes]),
        treatments=Counter(chain.from_iterable([one.treatments for one in outcomes])),
        misfits=Counter(chain.from_iterable([misfits_of(one) for one in outcomes if one.misfits])),
    )


def joined(parts: Sequence[MaskedBatch]) -> MaskedBatch:
    """The batch that these make together, which follow each other."""
    return MaskedBatch(
        offsets=tuple(chain.from_iterable([part.offsets for part in parts])),
        rows=tuple(chain.from_iterable([part.rows for part in parts])),
        leaves=tuple(chain.from_iterable([part.leaves for part in parts])),
        notes=tuple(chain.from_iterable([part.notes for part in parts])),
        fates=_sum([part.fates for part in parts]),
        treatments=_sum([part.treatments for part in parts]),
        misfits=_sum([part.misfits for part in parts]),
    )


def misfits_of(outcome: Outcome) -> list[Misfit]:
    """What one record counts for in `MaskedBatch.misfits`."""
    return [(outcome.treatments[0].table, column, reason) for column, reason in outcome.misfits]


def _sum(counts: Iterable[Mapping[_Counted, int]]) -> Counter[_Counted]:
    total: Counter[_Counted] = Counter()
    for each in counts:
        total.update(each)
    return total
