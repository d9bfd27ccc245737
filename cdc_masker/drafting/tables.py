"""What the tables of a source database are, as values: what its catalog says of columns, keys and references.

No row of a table is in here. Comments, which may quote rows, are there for classifiers only, and are never written anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.schemas import Type, from_postgres

__all__ = ["PRIMARY", "ColumnName", "Link", "Source", "SourceColumn", "SourceTable", "TableName", "Unique"]


class TableName(NamedTuple):
    """Exactly as PostgreSQL stores it."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


class ColumnName(NamedTuple):
    """A column of a table, its names exactly as PostgreSQL stores them."""

    schema: str
    table: str
    column: str

    @property
    def of(self) -> TableName:
        return TableName(self.schema, self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


PRIMARY = "primary key"


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    pass


class SourceColumn(_Value, frozen=True, kw_only=True):
    """A column. `type` is written as in a rule (`varchar(80)`, `text[]`, the type below a domain, `enum`), or is the name of a
    type that no rule can state: a composite type, or one of an extension.

    `labels` counts those of an enum, or of an array of one. `inputs` are the columns that a generated one is computed from.
    """

    name: str
    type: str
    nullable: bool = True
    labels: int | None = None
    comment: str | None = None
    generated: bool = False
    inputs: tuple[str, ...] = ()

    @property
    def connect(self) -> Type | None:
        """Its type in events of a connector in its default modes; None: not known."""
        return from_postgres(self.type)

    @property
    def stated(self) -> str | None:
        """The type that a rule can state."""
        return None if self.connect is None else self.type

    @property
    def kind(self) -> Kind:
        return Kind.OTHER if (type_ := self.connect) is None else kind_of(type_)


class Unique(_Value, frozen=True, kw_only=True):
    """Columns that no two rows have in common: `words` say which constraint or index sees to it, the names in them
    quoted."""

    words: str
    columns: tuple[str, ...]


class SourceTable(_Value, frozen=True, kw_only=True):
    """A table of the publication, or a partition that is published under its own name.

    `key` are the columns of its records' keys in Kafka: those of the replica identity's index, of the primary key or, without
    one, of the unique indexes. `unique` lists what keeps rows apart, the primary key included. `rows` is the server's estimate.
    `root` is the partitioned table that a partition belongs to.
    """

    schema: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    unique: tuple[Unique, ...] = ()
    rows: int | None = None
    root: TableName | None = None

    @property
    def full_name(self) -> TableName:
        return TableName(self.schema, self.name)

    def column(self, name: str) -> SourceColumn | None:
        return next((column for column in self.columns if column.name == name), None)

    def uniques(self, column: str) -> tuple[Unique, ...]:
        """What keeps rows apart by that column, alone or among others."""
        return tuple(each for each in self.unique if column in each.columns)


class Link(_Value, frozen=True, kw_only=True):
    """A foreign key, for one of its columns: values of `column` are values of `target`."""

    column: ColumnName
    target: ColumnName


class Source(_Value, frozen=True, kw_only=True):
    """What there is to decide on. `server` is Debezium's `source.name`. `links` are those of all tables, published or not: what
    lies between two published tables joins them, too.
    """

    server: str
    tables: tuple[SourceTable, ...]
    links: tuple[Link, ...] = ()

    def table(self, name: TableName) -> SourceTable | None:
        return next((table for table in self.tables if table.full_name == name), None)
