"""What another policy makes of real records: each is masked under both, with the same keys, and what differs is told by column.

A raw value is never told: what comes out as it went in is told as `(kept)`, what is not in the output as `(dropped)`. What else
is told is what readers of the masked topic would see, and so is to be looked at where raw records may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from cdc_masker import envelope, flattened
from cdc_masker.codecs import json
from cdc_masker.codecs.json import Members
from cdc_masker.coverage import MadeUpSubjects
from cdc_masker.envelope import Event
from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.methods import METHODS, Keys, Method
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy

__all__ = ["DROPPED", "KEPT", "Changed", "Effects", "Example", "Moved", "Preview"]

KEPT = "(kept)"
DROPPED = "(dropped)"
_EXAMPLES = 3


class Example(msgspec.Struct, frozen=True):
    """JSON text of a masked value under either policy, or one of the words in brackets."""

    before: str
    after: str


class Changed(msgspec.Struct, frozen=True):
    """A column that differs, in how many records, and some examples."""

    topic: str
    column: str
    records: int
    examples: tuple[Example, ...]


class Moved(msgspec.Struct, frozen=True, order=True):
    """How many records of a topic have another outcome: its word, and the reason and place where it is quarantined."""

    topic: str
    before: str
    after: str
    records: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    records: int
    columns: tuple[Changed, ...]
    outcomes: tuple[Moved, ...]


class Effects:
    """Takes records and tells what differs. Raises what `Masker` raises."""

    def __init__(self, old: Policy, new: Policy, keys: Keys, known: Mapping[str, type[Method]] = METHODS) -> None:
        self._old, self._new = (_Side(policy, keys, known) for policy in (old, new))
        self.records = 0
        self._columns: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], dict[Example, None]] = {}
        self._moved: Counter[tuple[str, str, str]] = Counter()

    def add(self, record: Record) -> None:
        """Masks a record under both policies and keeps what is to be told of it."""
        self.records += 1
        before, after = (side.masker.mask(record, side.subjects) for side in (self._old, self._new))
        if _fate(before) != _fate(after):
            self._moved[record.topic, _fate(before), _fate(after)] += 1
        elif before.fate is Fate.MASKED:
            self._compare(record.topic, self._old.rows(record), self._old.rows(before), self._new.rows(after))

    def preview(self) -> Preview:
        """What there is to tell so far."""
        return Preview(
            records=self.records,
            columns=tuple(
                Changed(topic, column, self._columns[topic, column], tuple(self._examples[topic, column]))
                for topic, column in sorted(self._columns)
            ),
            outcomes=tuple(sorted(Moved(*told, records) for told, records in self._moved.items())),
        )

    def _compare(self, topic: str, raw: _Rows, old: _Rows, new: _Rows) -> None:
        differing = set()
        for place in old:
            for column in old[place] | new[place]:
                before, after = old[place].get(column), new[place].get(column)
                if before != after:
                    differing.add((topic, column))
                    examples = self._examples.setdefault((topic, column), {})
                    if len(examples) < _EXAMPLES:
                        value = raw[place][column]
                        examples[Example(_told(before, value), _told(after, value))] = None
        self._columns.update(differing)


_Rows = dict[str, Members]
"""The columns of the key and of each image, by its place."""


class _Side:
    """One of the policies, with what is needed to mask under it and to read what comes out."""

    def __init__(self, policy: Policy, keys: Keys, known: Mapping[str, type[Method]]) -> None:
        self.masker = Masker(policy, keys, known=known)
        self.subjects = MadeUpSubjects(keys, policy.key_epoch)
        self._flattened = frozenset(each.topic for each in policy.envelopes if each.shape == "flattened")

    def rows(self, record: Record | Outcome) -> _Rows:
        """What stands in a record, raw or masked."""
        return dict(self._images(record))

    def _images(self, record: Record | Outcome) -> Iterator[tuple[str, Members]]:
        if record.key is not None:
            yield "key", envelope.read_key(record.key, "key").columns
        if record.value is None:
            return
        if record.topic in self._flattened:
            yield "row", flattened.read(record.value).columns
            return
        event = envelope.read(Record(record.topic, 0, 0, 0, record.key, record.value))
        for place, image in event.images() if isinstance(event, Event) else ():
            if bytes(image) != b"null":
                yield place, json.members(bytes(image), Reason.BAD_ENVELOPE, place)


def _fate(outcome: Outcome) -> str:
    return outcome.fate if outcome.reason is None else f"{outcome.fate}: {outcome.reason} at {outcome.place}"


def _told(masked: msgspec.Raw | None, raw: msgspec.Raw) -> str:
    if masked is None:
        return DROPPED
    return KEPT if masked == raw else bytes(masked).decode()
