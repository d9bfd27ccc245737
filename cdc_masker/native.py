"""The compiled core, from the distribution `cdc-masker-native`, which is built from `native/`. Who has it may import this.

It masks records of which every byte is as Debezium and Kafka Connect write it, and says of any other only that it is not its
own; the Python core masks those. So the Python core stays the one that says what is right, and it tells whatever there is to
tell about a record. What always holds: a batch comes out the same, whichever core is chosen.

The compiled core decides nothing. When it meets a look of records that is new to it, it asks for the plan that the Python core
has for it, and what it can't compute itself it asks the plan's own function for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import msgspec
import orjson
from cdc_masker_native import Cell, Core, Row

from cdc_masker.batches import MaskedBatch, gathered
from cdc_masker.engine import RowPlan
from cdc_masker.envelope import Key
from cdc_masker.errors import InputError
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.lookup import Lookup, Table
from cdc_masker.methods import UNCHANGED, Compute, Constant, Context, Drop, Keep, Subjects, Transform
from cdc_masker.methods.recipes import CardEnds, Ends, Hashed, Permuted, Start, Tokens
from cdc_masker.plans import Plans

__all__ = ["NativeCore"]

Function = Callable[[bytes, Context], bytes]
"""From raw JSON text to masked JSON text, as a plan has it."""

Guarded = tuple[bool, bool, bytes | None]
"""What the egress guard is told: whether values always change, whether numbers do, and the text that stands for others."""

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

    def mask(
        self, records: list[Record], subjects: Subjects, by_python: Callable[[Sequence[Record]], list[Outcome]]
    ) -> MaskedBatch:
        """What becomes of the records. `by_python` masks those that are not the core's own; what it raises is raised."""
        rows, leaves, treatments, misfits = self._core.mask(records, subjects)
        others = [index for index, leaf in enumerate(leaves) if leaf is None]
        outcomes = by_python([records[index] for index in others]) if others else []
        rest = gathered(outcomes)
        published = iter(rest.rows)
        for index, outcome, leaf in zip(others, outcomes, rest.leaves, strict=True):
            leaves[index], rows[index] = leaf, next(published) if outcome.published else None
        reasons = Counter((treatment.table, *misfit) for treatment, found in misfits for misfit in found)
        return MaskedBatch(
            offsets=tuple([record.offset for record in records]),
            rows=tuple([row for row in rows if row is not None]),
            leaves=tuple([leaf for leaf in leaves if leaf is not None]),
            notes=rest.notes,
            fates=Counter({Fate.MASKED: len(records) - len(others)}) + Counter(rest.fates),
            treatments=Counter(dict(treatments)) + Counter(rest.treatments),
            misfits=reasons + Counter(rest.misfits),
        )


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
