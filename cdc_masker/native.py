"""The compiled core, from the distribution `cdc-masker-native`, which is built from `native/`. Who has it may import this.

It masks records of which every byte is as Debezium and Kafka Connect write it, and says of any other only that it is not its
own; the Python core masks those. So the Python core stays the one that says what is right, and it tells whatever there is to
tell about a record. What always holds: a batch comes out the same, whichever core is chosen.

The compiled core decides nothing. When it meets a look of records that is new to it, it asks for the plan that the Python core
has for it, and what it can't compute itself it asks the plan's own function for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec
import orjson
from cdc_masker_native import Cell, Core, Fetched, Masking, Records, Row

from cdc_masker import merkle
from cdc_masker.batches import MaskedBatch, counted, notes_of, row_of
from cdc_masker.engine import RowPlan
from cdc_masker.envelope import Key
from cdc_masker.errors import InputError
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.leaves import leaf_of
from cdc_masker.lookup import Lookup, Table
from cdc_masker.methods import UNCHANGED, Compute, Constant, Context, Drop, Keep, MissingSubject, Subjects, Transform
from cdc_masker.methods.recipes import CardEnds, Ends, Hashed, Permuted, Start, Tokens
from cdc_masker.plans import Plans

__all__ = ["NativeCore", "fetched"]

Function = Callable[[bytes, Context], bytes]
"""From raw JSON text to masked JSON text, as a plan has it."""

Guarded = tuple[bool, bool, bytes | None]
"""What the egress guard is told: whether values always change, whether numbers do, and the text that stands for others."""

ByPython = Callable[[Sequence[Record], Subjects], Sequence[Outcome | None]]
"""Masks records: gives None of one whose subjects have no key yet."""

_Names = tuple[str, str, str]  # server, schema and table
_ANY = msgspec.Raw(b"null")


class NativeCore:
    """The compiled core for one policy, whose plans it uses.

    `header` is the name of the header that tells where a masked record came from, `made_by` the end of what stands in it.
    `headers` are let through, and records of the topics `excluded` are left to Python.
    """

    def __init__(
        self,
        plans: Plans,
        lookup: Lookup,
        *,
        header: str,
        made_by: str,
        headers: Collection[str],
        excluded: Collection[str],
        max_record_bytes: int,
        guard_every: int,
    ) -> None:
        self._core = Core(
            _Teacher(plans, lookup),
            Context,
            header=header,
            made_by=made_by,
            headers=set(headers),
            excluded=set(excluded),
            unchanged=[*UNCHANGED],
            max_record_bytes=max_record_bytes,
            guard_every=guard_every,
        )

    def begin(self, records: Sequence[Record], by_python: ByPython) -> _ByBoth:
        """Begins to mask a batch. `by_python` masks what is not the core's own."""
        if isinstance(records, Records):
            parts = [records]
        else:
            runs = groupby(records, lambda record: (record.topic, record.partition))
            parts = [Records.of([*run], Record) for _, run in runs]
        return _ByBoth(Masking(self._core, parts), records, by_python)


class _ByBoth:
    """A batch that the compiled core masks, and Python the rest; see `cdc_masker.batches.Masking`."""

    def __init__(self, masking: Masking, records: Sequence[Record], by_python: ByPython) -> None:
        self._masking = masking
        self._records = records
        self._by_python = by_python
        self._left: dict[int, None] = dict.fromkeys(range(len(records)))
        self._rest: list[tuple[int, Outcome]] = []

    @property
    def left(self) -> Sequence[int]:
        return [*self._left]

    def ahead(self) -> None:
        self._left = dict.fromkeys(self._masking.ahead())

    def go_on(self, places: Sequence[int], subjects: Subjects) -> None:
        others = self._masking.go_on(places, subjects)
        outcomes = self._by_python([self._records[place] for place in others], subjects) if others else []
        missing = []
        for place, outcome in zip(others, outcomes, strict=True):
            if outcome is None:
                missing.append(place)
                continue
            row = row_of(outcome) if outcome.published else None
            self._masking.fill(place, merkle.leaf_hash(leaf_of(outcome)), row)
            self._rest.append((place, outcome))
        for place in {*places}.difference(missing):
            del self._left[place]
        if missing:
            raise MissingSubject

    def batch(self) -> MaskedBatch:
        offsets, rows, root, treatments, misfits = self._masking.finish()
        rest = [outcome for _, outcome in sorted(self._rest, key=itemgetter(0))]
        fates, treated, told = counted(rest)
        fates[Fate.MASKED] += len(offsets) - len(rest)
        for treatment, count in treatments:
            treated[treatment] += count
        told.update((treatment.table, *misfit) for treatment, found in misfits for misfit in found)
        return MaskedBatch(
            offsets=tuple(offsets), rows=rows, root=root, notes=notes_of(rest), fates=+fates, treatments=treated, misfits=told
        )


def fetched(raw: bytes, topic: str, partition: int, offset: int, aborted: Sequence[tuple[int, int]]) -> Fetched | None:
    """What a broker answered when it was asked for records of that partition from `offset` on, with the aborted transactions
    in it (producer, first offset). None if it is compressed, of an old format or broken: aiokafka reads it then.
    """
    return Fetched.read(raw, topic, partition, offset, [*aborted], Record)


class _Teacher:
    """Makes the plans that the compiled core asks for: None for what the Python core refuses."""

    def __init__(self, plans: Plans, lookup: Lookup) -> None:
        self._plans = plans
        self._lookup = lookup

    def key(self, topic: str, table: _Names | None, names: list[str], schema: bytes | None) -> tuple[Row, bytes | None] | None:
        """The plan of a record's key with these columns, and its masked schema. Without a table only the topic is known."""
        try:
            where = self._lookup.table_of(topic) if table is None else Table(*table, topic)
            plan, masked = self._plans.key(where, Key(schema, dict.fromkeys(names, _ANY)))
        except InputError:
            return None
        return _row(plan), masked

    def row(self, topic: str, table: _Names, key: list[str], names: list[str]) -> Row | None:
        """The plan of a row with these columns."""
        try:
            return _row(self._plans.plain(Table(*table, topic), dict.fromkeys(names, _ANY), frozenset(key)))
        except InputError:
            return None

    def event(self, topic: str, table: _Names, key: list[str], schema: bytes) -> tuple[Row | None, Row | None, bytes] | None:
        """The plans of the row images of an event with that schema, before and after, and its masked schema."""
        try:
            described = self._plans.event(Table(*table, topic), schema, frozenset(key))
        except InputError:
            return None
        before, after = (_row(described.rows[place]) if place in described.rows else None for place in ("before", "after"))
        return before, after, described.schema


def _row(plan: RowPlan) -> Row:
    """A plan as the compiled core takes it."""
    return Row(_columns(plan), plan.treatment)


def _columns(plan: RowPlan) -> list[tuple[bytes, bytes, Cell, Guarded | None]]:
    """Of each column: name, label, cell, and for one that is not kept what the guard is told."""
    cells = {name: (label, function) for name, label, function in plan.cells}
    masked = {column.name: (column.changes, column.numbers_change, column.constant) for column in plan.masked}
    columns = []
    for name, transform in plan.transforms.items():
        label, function = cells.get(name, (b"", None))
        told = masked.get(name)
        columns.append((name.encode(), label, _cell(transform, function), told))
    return columns


def _cell(transform: Transform, function: Function | None) -> Cell:
    if isinstance(transform, Keep):
        return Cell.keep()
    if isinstance(transform, Drop):
        return Cell.drop()
    assert function is not None  # as all other columns have one
    if isinstance(transform, Constant):
        return Cell.constant(function(b"", Context("", 0, 0)))
    match transform.recipe if isinstance(transform, Compute) else None:
        case Tokens(of_string, of_integer):
            return Cell.token(function, _of_string(of_string), _of_integer(of_integer))
        case Ends(first, last, mark):
            return Cell.partial(function, first, last, _in_json(mark))
        case CardEnds(first, last, mark):
            return Cell.card(function, first, last, _in_json(mark))
        case Start(length):
            return Cell.truncate(function, length)
        case None:
            return Cell.call(function, not isinstance(transform, Compute))


def _of_string(token: Hashed | None) -> tuple[str, bytes, bytes] | None:
    return None if token is None else (token.form, token.key, token.head)


def _of_integer(token: Hashed | Permuted | None) -> tuple[str, bytes, bytes, int] | None:
    match token:
        case Permuted(key, tweak, bits):
            return "permuted", key, tweak, bits
        case Hashed(form, key, head):
            return form, key, head, 0
        case None:
            return None


def _in_json(mark: str) -> bytes:
    """A character as it stands in a JSON text."""
    return orjson.dumps(mark)[1:-1]
