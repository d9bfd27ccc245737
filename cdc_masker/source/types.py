"""How a rule writes a column's type: that below its domains, in PostgreSQL's words, the shorter one where there are two."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cdc_masker.schemas import from_postgres

__all__ = ["Described", "describe"]

_TYPES = """
SELECT t.oid, t.typname, t.typtype::text, t.typcategory::text, t.typbasetype, t.typtypmod, t.typelem,
  CASE t.typtype WHEN 'e' THEN (SELECT count(*) FROM pg_enum e WHERE e.enumtypid = t.oid) END AS labels
FROM pg_type t
"""
_FORMATTED = (
    "SELECT format_type(of.oid, of.modifier) FROM unnest($1::oid[], $2::int[]) WITH ORDINALITY of(oid, modifier, n) ORDER BY n"
)


@dataclass(frozen=True, slots=True)
class Described:
    """`type` as `cdc_masker.drafting.tables.SourceColumn` has it."""

    type: str
    labels: int | None


_Key = tuple[int, int]


async def describe(connection: Any, found: Iterable[_Key]) -> dict[_Key, Described]:
    """The types with these OIDs and modifiers."""
    types = {row["oid"]: row for row in await connection.fetch(_TYPES)}
    keys = sorted(set(found))
    below = [_below(types, *key) for key in keys]
    rows = await connection.fetch(_FORMATTED, [oid for oid, _, _ in below], [modifier for _, modifier, _ in below])
    return {
        key: Described(_written(types[oid], row[0]) + "[]" * is_array, types[oid]["labels"])
        for key, (oid, _, is_array), row in zip(keys, below, rows, strict=True)
    }


def _below(types: dict[int, Any], oid: int, modifier: int) -> tuple[int, int, bool]:
    """The type below domains, of an array that of its items; its modifier; and whether it is an array."""
    is_array = False
    while True:
        row = types[oid]
        if row["typtype"] == "d":
            oid, modifier = row["typbasetype"], row["typtypmod"]
        elif row["typcategory"] == "A" and row["typelem"]:
            oid, is_array = row["typelem"], True
        else:
            return oid, modifier, is_array


_TIMES = re.compile(r"(time|timestamp)((?:\(\d\))?) (with|without) time zone")


def _written(row: Any, formatted: str) -> str:
    if row["typtype"] == "e":
        return "enum"
    if formatted == '"char"' or formatted.startswith("interval"):
        return str(row["typname"])
    if match := _TIMES.fullmatch(formatted):
        return match[1] + ("tz" if match[3] == "with" else "") + match[2]
    for long, short in (("character varying", "varchar"), ("character", "char"), ("bit varying", "varbit")):
        if formatted.startswith(long):
            return short + formatted.removeprefix(long)
    if row["typtype"] == "b" and from_postgres(formatted) is None and from_postgres(row["typname"]) is not None:
        return str(row["typname"])  # of an extension, in whatever schema that is
    return formatted
