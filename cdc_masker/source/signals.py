"""Debezium's signal table, and the tables that a snapshot is asked for, as the source database has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SignalTable", "insert_signal", "primary_keys", "signal_table"]

_TABLE = """
SELECT format('%I.%I', n.nspname, c.relname) AS quoted,
  ARRAY(SELECT t.typcategory::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
  EXISTS (SELECT FROM pg_publication_tables WHERE pubname = $3 AND schemaname = $1 AND tablename = $2) AS published,
  has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'INSERT') AS insertable,
  (SELECT has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'INSERT')
   FROM pg_roles r WHERE r.rolname = $4) AS insertable_by
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
"""
_KEYS = """
SELECT w.name, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS keyed
FROM unnest($1::text[]) AS w(name) JOIN pg_class c ON c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname || '.' || c.relname = w.name
"""


@dataclass(frozen=True, slots=True)
class SignalTable:
    """`quoted`: its name in statements. `fit`: it has three columns of texts, as Debezium wants.

    `insertable`: this login may insert. `insertable_by`: the role that was asked about may; None: there is no such role.
    """

    quoted: str
    fit: bool
    published: bool
    insertable: bool
    insertable_by: bool | None


async def signal_table(connection: Any, name: str, publication: str, role: str | None) -> SignalTable | None:
    """The table of that name, `schema.table`; None: there is none."""
    row = await connection.fetchrow(_TABLE, *_parts(name), publication, role)
    if row is None:
        return None
    return SignalTable(
        quoted=row["quoted"],
        fit=row["columns"] == ["S"] * 3,
        published=row["published"],
        insertable=row["insertable"],
        insertable_by=row["insertable_by"],
    )


async def primary_keys(connection: Any, names: Sequence[str]) -> dict[str, bool]:
    """Of these tables those that are there, and whether they have a primary key."""
    return {row["name"]: row["keyed"] for row in await connection.fetch(_KEYS, list(names))}


async def insert_signal(connection: Any, table: SignalTable, *values: str) -> None:
    """Writes one row: id, type and data."""
    await connection.execute(f"INSERT INTO {table.quoted} VALUES ($1, $2, $3)", *values)  # noqa: S608 - the name is quoted


def _parts(name: str) -> tuple[str, str]:
    schema, _, table = name.partition(".")
    return schema, table
