"""Reads what PostgreSQL's catalog says of the tables of a publication.

All columns of such a table count, even where the publication names some only, and generated ones, too: a snapshot reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from cdc_masker.drafting.tables import PRIMARY, ColumnName, Link, Source, SourceColumn, SourceTable, TableName, Unique
from cdc_masker.errors import SetupError
from cdc_masker.settings import PREFIX, Settings
from cdc_masker.source.types import describe

__all__ = ["read_source"]

_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.reltuples, c.relreplident::text AS identity,
  rn.nspname AS root_schema, r.relname AS root_name
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relname = p.tablename AND c.relnamespace = n.oid
LEFT JOIN pg_class r ON c.relispartition AND r.oid = pg_partition_root(c.oid)
LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE p.pubname = $1
ORDER BY n.nspname, c.relname
"""
_COLUMNS = """
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated <> '' AS generated,
  col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
# Until PostgreSQL 14 the dependencies of a generated column are its own, later those of its expression.
_INPUTS = """
SELECT d.refobjid AS attrelid, coalesce(nullif(d.objsubid, 0), e.adnum) AS attnum, d.refobjsubid AS input
FROM pg_depend d
LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = coalesce(nullif(d.objsubid, 0), e.adnum) AND a.attgenerated <> ''
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY($1::oid[]) AND d.refobjsubid > 0
  AND (e.adrelid = d.refobjid OR (d.classid = 'pg_class'::regclass AND d.objid = d.refobjid))
  AND d.refobjsubid <> a.attnum
ORDER BY 1, 2, 3
"""
# Of an index over expressions, also the columns that these read.
_UNIQUE = """
SELECT i.indrelid, c.relname, i.indisprimary, i.indisreplident,
  ARRAY(SELECT k FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k WHERE k > 0)
  || ARRAY(
    SELECT d.refobjsubid::int2 FROM pg_depend d
    WHERE i.indexprs IS NOT NULL AND d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0
      AND NOT d.refobjsubid = ANY(i.indkey::int2[]) ORDER BY 1
  ) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indisunique AND i.indrelid = ANY($1::oid[])
ORDER BY i.indrelid, i.indisprimary DESC, c.relname
"""
# What a partition has from its table is said there.
_LINKS = """
SELECT n.nspname, c.relname, a.attname, fn.nspname, f.relname, fa.attname
FROM pg_constraint k
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(own, other)
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = pair.own
JOIN pg_class f ON f.oid = k.confrelid
JOIN pg_namespace fn ON fn.oid = f.relnamespace
JOIN pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = pair.other
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY 1, 2, 3, 4, 5, 6
"""


async def read_source(connection: Any, settings: Settings) -> Source:
    """The tables of the publication that the settings name. Raises `SetupError` when there is no such one, or nothing in it."""
    name = settings.source_publication
    tables = await connection.fetch(_TABLES, name)
    if not tables:
        raise SetupError(
            f"the source database has no publication {name} with tables; correct {PREFIX}SOURCE_PUBLICATION, "
            "or let `cdc-masker connector apply` make it"
        )
    oids = [row["oid"] for row in tables]
    columns = await _columns(connection, oids)
    unique = _by_table(await connection.fetch(_UNIQUE, oids))
    links = await connection.fetch(_LINKS)
    return Source(
        server=settings.source_server,
        tables=tuple(_table(row, columns.get(row["oid"], {}), unique.get(row["oid"], [])) for row in tables),
        links=tuple(Link(column=ColumnName(*row[:3]), target=ColumnName(*row[3:])) for row in map(tuple, links)),
    )


Numbered = dict[int, SourceColumn]


async def _columns(connection: Any, oids: Sequence[int]) -> dict[int, Numbered]:
    """The columns of each table, by number."""
    rows = await connection.fetch(_COLUMNS, oids)
    types = await describe(connection, [(row["atttypid"], row["atttypmod"]) for row in rows])
    names = {(row["attrelid"], row["attnum"]): row["attname"] for row in rows}
    inputs: dict[tuple[int, int], list[str]] = {}
    for row in await connection.fetch(_INPUTS, oids):
        inputs.setdefault((row["attrelid"], row["attnum"]), []).append(names[row["attrelid"], row["input"]])
    found: dict[int, Numbered] = {}
    for row in rows:
        described = types[row["atttypid"], row["atttypmod"]]
        found.setdefault(row["attrelid"], {})[row["attnum"]] = SourceColumn(
            name=row["attname"],
            type=described.type,
            nullable=not row["attnotnull"],
            labels=described.labels,
            comment=row["comment"],
            generated=row["generated"],
            inputs=tuple(inputs.get((row["attrelid"], row["attnum"]), ())),
        )
    return found


def _by_table(rows: Sequence[Any]) -> dict[int, list[Any]]:
    return {oid: list(group) for oid, group in groupby(rows, lambda row: row["indrelid"])}


def _table(row: Any, columns: Numbered, indexes: Sequence[Any]) -> SourceTable:
    unique = [(index, _unique(index, columns)) for index in indexes]
    identity = {name for index, each in unique if index["indisreplident"] for name in each.columns}
    primary = {name for index, each in unique if index["indisprimary"] for name in each.columns}
    anything = {name for _, each in unique for name in each.columns}
    key = (primary or anything) | (identity if row["identity"] == "i" else set())
    return SourceTable(
        schema=row["nspname"],
        name=row["relname"],
        columns=tuple(columns.values()),
        key=tuple(column.name for column in columns.values() if column.name in key),
        unique=tuple(each for _, each in unique),
        rows=int(row["reltuples"]) if row["reltuples"] >= 0 else None,
        root=None if row["root_name"] is None else TableName(row["root_schema"], row["root_name"]),
    )


def _unique(index: Any, columns: Numbered) -> Unique:
    words = PRIMARY if index["indisprimary"] else f"unique index {index['relname']!a}"
    return Unique(words=words, columns=tuple(columns[number].name for number in index["columns"]))
