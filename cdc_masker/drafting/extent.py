"""How far a policy decides about a source: of each table, how many columns rules name, patterns match, and nobody decides."""

from __future__ import annotations

import msgspec

from cdc_masker.drafting.standing import Registry, Standing
from cdc_masker.drafting.tables import ColumnName, Source
from cdc_masker.methods import METHODS
from cdc_masker.methods.constant import KeepValue
from cdc_masker.policies import Policy

__all__ = ["Extent", "extents"]


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """One table. `kept` are those of its decided columns that pass as they are, wholly or in parts."""

    schema: str
    table: str
    columns: int
    named: int
    matched: int
    undecided: int
    kept: int


def extents(policy: Policy, source: Source, known: Registry = METHODS) -> list[Extent]:
    """One for each table whose rows are published, in the order of their names."""
    standing = Standing(policy, source, known)
    found = []
    for table in sorted(source.tables, key=lambda table: table.full_name):
        if not standing.needs_rules(table):
            continue
        groups = [standing.group(ColumnName(*table.full_name, column.name)) for column in table.columns]
        matched = sum(bool(group) and group[0].pattern for group in groups)
        undecided = sum(not group for group in groups)
        found.append(
            Extent(
                schema=table.schema,
                table=table.name,
                columns=len(groups),
                named=len(groups) - matched - undecided,
                matched=matched,
                undecided=undecided,
                kept=sum(any(rule.method == KeepValue.name for rule in group) for group in groups),
            )
        )
    return found
