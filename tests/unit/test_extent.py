"""How much of a source a policy decides about, table by table."""

from __future__ import annotations

from cdc_masker.drafting.extent import Extent, extents
from cdc_masker.drafting.tables import Source, SourceColumn, SourceTable
from cdc_masker.policies import EMPTY, EnvelopeShape, Policy, Rule


def table(name: str, *columns: str) -> SourceTable:
    return SourceTable(schema="crm", name=name, columns=tuple(SourceColumn(name=column, type="text") for column in columns))


SOURCE = Source(server="shop", tables=(table("people", "id", "email", "doc", "born"), table("orders", "id", "work_email")))


def rule(table: str, column: str, method: str, *, pattern: bool = False, path: str | None = None, server: str = "*") -> Rule:
    return Rule(server=server, schema="crm", table=table, column=column, method=method, pattern=pattern, path=path)


def test_every_column_is_counted_once_by_what_decides() -> None:
    rules = [
        rule("people", "id", "keep"),
        rule("people", "email", "tokenize"),
        rule("people", "doc", "keep", path="$.a"),
        rule("people", "doc", "null", path="$.b"),
        rule("*", "*email", "null", pattern=True),
        rule("orders", "id", "keep", server="elsewhere"),
    ]
    assert extents(Policy.of(1, rules=rules), SOURCE) == [
        Extent(schema="crm", table="orders", columns=2, named=0, matched=1, undecided=1, kept=0),
        Extent(schema="crm", table="people", columns=4, named=3, matched=0, undecided=1, kept=2),
    ]


def test_without_rules_nothing_is_decided() -> None:
    assert [(each.columns, each.undecided, each.kept) for each in extents(EMPTY, SOURCE)] == [(2, 2, 0), (4, 4, 0)]


def test_a_table_whose_rows_are_dropped_needs_no_rules() -> None:
    signals = [EnvelopeShape(topic="t", shape="signals", schema="crm", table="orders")]
    assert [each.table for each in extents(Policy.of(1, envelopes=signals), SOURCE)] == ["people"]
