"""Which columns hold the same values: columns that foreign keys connect, over any number of tables, and those of partitions.

A component is named after the column that the others refer to in the end: the one that refers to none itself; of several, the
first by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cdc_masker.drafting.tables import ColumnName, Link, Source, TableName

__all__ = ["Component", "components"]


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of published tables that hold the same values. `linked`: a foreign key says so, else only a partitioned table."""

    name: ColumnName
    members: tuple[ColumnName, ...]
    linked: bool


def components(source: Source) -> dict[ColumnName, Component]:
    """For each column of a published table the component that it is in, which may be of it alone."""
    roots = {table.full_name: table.root for table in source.tables if table.root is not None}
    links = sorted({_at_root(link, roots) for link in source.links}, key=_names)
    members: dict[ColumnName, list[ColumnName]] = {}
    for table in source.tables:
        for column in table.columns:
            name = ColumnName(table.schema, table.name, column.name)
            members.setdefault(_root(name, roots), []).append(name)
    refer = {link.column for link in links if link.target != link.column}
    found: dict[ColumnName, Component] = {}
    for group in _connected(members, links):
        published = tuple(sorted(name for column in group for name in members.get(column, ())))
        referenced = [column for column in group if column not in refer] or group  # or they refer to each other in a circle
        component = Component(name=min(referenced), members=published, linked=len(group) > 1)
        found |= dict.fromkeys(published, component)
    return found


def _names(link: Link) -> tuple[ColumnName, ColumnName]:
    return link.column, link.target


def _root(name: ColumnName, roots: Mapping[TableName, TableName]) -> ColumnName:
    """The column of the partitioned table, of that of a partition: what they are called is the same."""
    return ColumnName(*roots.get(name.of, name.of), name.column)


def _at_root(link: Link, roots: Mapping[TableName, TableName]) -> Link:
    return Link(column=_root(link.column, roots), target=_root(link.target, roots))


def _connected(columns: Iterable[ColumnName], links: Iterable[Link]) -> list[list[ColumnName]]:
    """The columns and those that links name, in groups that links connect."""
    group_of = {column: [column] for column in columns}
    for link in links:
        one, other = (group_of.setdefault(end, [end]) for end in _names(link))
        if one is not other:
            one += other
            group_of |= dict.fromkeys(other, one)
    return list({id(group): group for group in group_of.values()}.values())
