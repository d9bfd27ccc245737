"""Compiled plans by what a record looks like, so that each look is compiled once.

A plan is found by the table, the columns of the record's key, and how the columns are known: by the names in the row, or by
the text of the embedded schema. With the plan of a schema comes the masked schema, written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from cdc_masker.codecs import connect
from cdc_masker.codecs.connect import ConnectSchema
from cdc_masker.codecs.json import Members
from cdc_masker.engine import Engine, RowPlan
from cdc_masker.envelope import EVENT_FIELDS, IMAGES, Key
from cdc_masker.flattened import FlattenedRow, metadata
from cdc_masker.lookup import Table
from cdc_masker.methods import Drop, Keep
from cdc_masker.schemas import from_connect, to_connect

__all__ = ["DescribedPlan", "Plans"]

_NONE: frozenset[str] = frozenset()
_MOST_BYTES = 32 << 20  # some 40,000 columns; only a source that keeps changing its layouts gets there
_COLUMN_BYTES = 800


@dataclass(frozen=True, slots=True)
class DescribedPlan:
    """What is done to records with one embedded schema: a plan for each place of a row, and the schema of the output."""

    rows: Mapping[str, RowPlan]
    schema: bytes = field(repr=False)

    @property
    def width(self) -> int:
        """The number of columns, in all places."""
        return sum(row.width for row in self.rows.values())


_Plan = TypeVar("_Plan", RowPlan, DescribedPlan)


class Plans:
    """The plans of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_names: _Cache[RowPlan] = _Cache()
        self._by_schema: _Cache[DescribedPlan] = _Cache()

    def columns(self, pick: Callable[[RowPlan], frozenset[str]]) -> dict[str, frozenset[str]]:
        """By topic, the columns that `pick` finds in the plans made so far. Topics without any are left out."""
        found: dict[str, frozenset[str]] = {}
        described = ((wanted, plan) for wanted, each in self._by_schema.plans.items() for plan in each.rows.values())
        for (table, *_), plan in (*self._by_names.plans.items(), *described):
            if picked := pick(plan):
                found[table.topic] = found.get(table.topic, _NONE) | picked
        return found

    def plain(self, table: Table, row: Members, key: frozenset[str], passing: frozenset[str] = _NONE) -> RowPlan:
        """For a row of which only the names of the columns are known. Undecided columns that are `passing` are kept."""
        names = tuple(row)
        return self._by_names.get(
            (table, names, key, passing),
            lambda: self._engine.compile(table, tuple((name, None) for name in names), key, passing),
        )

    def key(self, table: Table, key: Key) -> tuple[RowPlan, bytes | None]:
        """For a record's key: the plan of its columns, and the masked schema where it has one."""
        return self._alone(table, key, frozenset(key.columns), _NONE)

    def flattened(self, table: Table, row: FlattenedRow, key: frozenset[str]) -> tuple[RowPlan, bytes | None]:
        """For a row that is the whole value, and its schema."""
        return self._alone(table, row, key, metadata(table.server, table.name))

    def event(self, table: Table, text: bytes, key: frozenset[str]) -> DescribedPlan:
        """For a change event whose embedded schema is `text`."""

        def compile_() -> DescribedPlan:
            schema = connect.parse(text, "schema")
            fields = connect.allowed(schema, EVENT_FIELDS)
            rows = {}
            for place in IMAGES:
                if (nested := schema.nested(place)) is not None:
                    rows[place] = self._engine.compile(table, nested.layout, key)
                    fields[place] = _described(nested, rows[place])
            return DescribedPlan(rows, msgspec.json.encode(connect.write_schema(schema, fields)))

        return self._by_schema.get((table, text, key), compile_)

    def _alone(
        self, table: Table, row: Key | FlattenedRow, key: frozenset[str], passing: frozenset[str]
    ) -> tuple[RowPlan, bytes | None]:
        if row.schema is None:
            return self.plain(table, row.columns, key, passing), None
        text = row.schema

        def compile_() -> DescribedPlan:
            schema = connect.parse(text, "schema")
            plan = self._engine.compile(table, schema.layout, key, passing)
            return DescribedPlan({"": plan}, msgspec.json.encode(_described(schema, plan, passing)))

        found = self._by_schema.get((table, text, key, passing), compile_)
        return found.rows[""], found.schema


def _described(schema: ConnectSchema, plan: RowPlan, passing: frozenset[str] = _NONE) -> dict[str, Any]:
    """The schema of a masked row: kept columns as they were described, the others by the type of what stands there now."""
    fields: dict[str, Mapping[str, Any]] = {}
    for name, transform in plan.transforms.items():
        if isinstance(transform, Keep):
            described = schema.fields[name]
            fields[name] = to_connect(from_connect(described)) if name in passing else described
        elif (
            not isinstance(transform, Drop) and transform.type is not None
        ):  # a column of a described row has a type, and a transform never loses it
            fields[name] = to_connect(transform.type)
    return connect.write_schema(schema, fields)


class _Cache(Generic[_Plan]):
    """Plans by what they are for: the table, how its columns are known, and more. When they are larger than `_MOST_BYTES`
    together, it begins anew.
    """

    def __init__(self) -> None:
        self.plans: dict[tuple[Any, ...], _Plan] = {}
        self._bytes = 0

    def get(self, wanted: tuple[Any, ...], make: Callable[[], _Plan]) -> _Plan:
        """The plan for what is wanted, made if need be."""
        plan = self.plans.get(wanted)
        if plan is None:
            plan = make()
            size = sum(map(len, wanted[0])) + _size(wanted[1]) + plan.width * _COLUMN_BYTES
            if self._bytes + size > _MOST_BYTES:
                self.plans.clear()
                self._bytes = 0
            self.plans[wanted] = plan
            self._bytes += size
        return plan


def _size(known: bytes | tuple[str, ...]) -> int:
    """Of the text of a schema, or of names."""
    return len(known) if isinstance(known, bytes) else sum(map(len, known))
