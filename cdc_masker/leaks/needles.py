"""The needles: raw values that must be nowhere, each once, with the columns that they came from.

Memory grows with the number of different values, not of records. They are searched some thousands at a time, so that the
automaton stays small whatever their number.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import md5
from itertools import islice

from cdc_masker.leaks.encodings import telling

__all__ = ["Needles"]

_AT_ONCE = 20_000

_UNCHANGED = b"__debezium_unavailable_value"
_NEUTRAL = frozenset(
    {
        b"",
        # What Debezium writes for a large value that a change did not touch: as text, in base64, in an array of UUIDs.
        _UNCHANGED,
        b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
        str(uuid.UUID(bytes=md5(_UNCHANGED, usedforsecurity=False).digest(), version=3)).encode(),
        # And for columns of an old image that the replica identity leaves out, in so far as they would count as telling.
        b"1970-01-01T00:00:00Z",
        b"1970-01-01T00:00:00.000000Z",
        b"1970-01-01T00:00:00",
        b"1970-01-01Z",
        b"P0Y0M0DT0H0M0S",
    }
)


class Needles:
    """Collects values. `columns` holds the columns of each needle; `unsearched` counts, by column, how often a value came
    that is no needle because it says too little.
    """

    def __init__(self) -> None:
        self.columns: dict[bytes, tuple[str, ...]] = {}
        self.unsearched: Counter[str] = Counter()

    def add(self, column: str, value: bytes) -> None:
        """Adds a raw value of a column."""
        if value in _NEUTRAL:
            return
        known = self.columns.get(value)
        if known is None:
            if not telling(value):
                self.unsearched[column] += 1
                return
            self.columns[value] = (column,)
        elif column not in known:
            self.columns[value] = (*known, column)

    def __len__(self) -> int:
        return len(self.columns)

    def batches(self) -> Iterator[Mapping[bytes, tuple[str, ...]]]:
        """All needles with their columns, a part at a time."""
        remaining = iter(self.columns.items())
        while batch := dict(islice(remaining, _AT_ONCE)):
            yield batch
