"""Sources to draft policies for: built by hand, and by Hypothesis, with whatever names, types, keys and references."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cdc_masker.drafting.tables import PRIMARY, ColumnName, Link, Source, SourceColumn, SourceTable, TableName, Unique
from cdc_masker.policies import Policy, Rule

__all__ = ["TYPES", "column", "link", "policies", "source", "sources", "table"]

TYPES = (
    "text", "varchar(80)", "char(2)", "enum", "uuid", "boolean", "smallint", "integer", "bigint", "numeric", "numeric(3,1)",
    "real", "date", "timestamptz", "timestamp(3)", "interval", "jsonb", "bytea", "bit(8)", "text[]", "enum[]", "tsvector",
    "inet", "point", "zoo.address",
)  # fmt: skip


def column(name: str, type: str = "text", **facts: Any) -> SourceColumn:  # noqa: A002
    return SourceColumn(name=name, type=type, labels=3 if type.startswith("enum") else None, **facts)


def table(name: str, *columns: SourceColumn, key: tuple[str, ...] = (), **facts: Any) -> SourceTable:
    """A table in schema `crm`; what is in its key is its primary key."""
    unique = (*((Unique(words=PRIMARY, columns=key),) if key else ()), *facts.pop("unique", ()))
    return SourceTable(schema="crm", name=name, columns=columns, key=key, unique=unique, **facts)


def link(column: str, target: str) -> Link:
    """A foreign key between columns of `crm`, as in `orders.customer_id`."""
    one, other = (ColumnName("crm", *each.split(".")) for each in (column, target))
    return Link(column=one, target=other)


def source(*tables: SourceTable, links: tuple[Link, ...] = ()) -> Source:
    return Source(server="shop", tables=tables, links=links)


_NAMES = st.sampled_from(
    ("id", "email", "Vorname", "card_number", "amount", "created_at", "customer_id", "note", "phone", "ip", "x")
) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@st.composite
def _tables(draw: st.DrawFn, number: int) -> SourceTable:
    names = draw(st.lists(_NAMES, min_size=1, max_size=6, unique=True))
    plain = names[: draw(st.integers(1, len(names)))]
    columns = []
    for name in names:
        inputs = () if name in plain else tuple(draw(st.lists(st.sampled_from(plain), min_size=1, max_size=3, unique=True)))
        columns.append(column(name, draw(st.sampled_from(TYPES)), generated=bool(inputs), inputs=inputs))
    some = st.lists(st.sampled_from(names), max_size=3, unique=True).map(tuple)
    key, other = draw(some), draw(some)
    unique = tuple(
        Unique(words=words, columns=each) for words, each in ((PRIMARY, key), ("unique index 'other'", other)) if each
    )
    rows = draw(st.none() | st.integers(0, 10**9))
    root = draw(st.none() | st.just(TableName("crm", "root")))
    schema, name = draw(st.sampled_from(("crm", "Crm ü"))), f"{draw(_NAMES)}{number}"
    return SourceTable(schema=schema, name=name, columns=tuple(columns), key=key, unique=unique, rows=rows, root=root)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    """Some tables; foreign keys between whatever columns, and by way of one that is not published."""
    tables = [draw(_tables(number)) for number in range(draw(st.integers(1, 3)))]
    names = [ColumnName(*each.full_name, column.name) for each in tables for column in each.columns]
    ends = st.sampled_from([*names, ColumnName("elsewhere", "not published", "id")])
    links = [Link(column=one, target=other) for one, other in draw(st.lists(st.tuples(ends, ends), max_size=5))]
    return Source(server="shop", tables=tuple(tables), links=tuple(links))


_DECIDED: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.sampled_from(
    [("keep", {}), ("redact", {}), ("drop", {}), ("tokenize", {}), ("tokenize", {"domain": "d"}), ("encrypt", {}),
     ("encrypt", {"domain": "e"}), ("partial", {"last": 2}), ("pseudonym", {"kind": "city"})]
)  # fmt: skip


@st.composite
def policies(draw: st.DrawFn, source: Source) -> Policy:
    """A policy about some columns of a source, one about a column that is not there, and a pattern. It may not be sound."""
    rules = [Rule(schema="crm", table="gone", column="gone", method="redact")]
    for table in source.tables:
        for column in table.columns:
            if draw(st.integers(0, 3)) == 0:
                method, params = draw(_DECIDED)
                stated = draw(st.sampled_from((column.stated, None)))
                rules.append(
                    Rule(schema=table.schema, table=table.name, column=column.name, type=stated, method=method, params=params)
                )
    if draw(st.booleans()):
        rules.append(Rule(schema="*", table="*", column="email", method="redact", pattern=True))
    return Policy.of(1, rules=rules)
