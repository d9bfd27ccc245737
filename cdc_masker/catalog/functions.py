"""The catalog's functions as migrations make them, to hold against those that PostgreSQL has.

Most are read from the SQL files that the migrations run; those of triggers stand here, and a test holds them to the migrations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from cdc_masker import resources

__all__ = ["REFUSAL", "Function", "altered"]

REFUSAL = "BEGIN\n  RAISE EXCEPTION '% of %: this table is append-only', TG_OP, TG_TABLE_NAME;\nEND"
_NOTICE = "BEGIN\n  PERFORM pg_notify(TG_TABLE_SCHEMA, TG_TABLE_NAME);\n  RETURN NULL;\nEND"
_STATEMENT = re.compile(r"^CREATE (OR REPLACE )?FUNCTION SCHEMA\.(\w+)\((.*?) AS \$\$(.*?)\$\$", re.DOTALL | re.MULTILINE)
_SETTING = re.compile(r" SET (\w+) = '?(.+?)'?(?= SET |$)", re.MULTILINE)
_SAFE = ("search_path=pg_catalog, pg_temp",)


class Function(NamedTuple):
    """`source`: its body; `definer`: it runs with the rights of its owner; `settings`: what is set while it runs."""

    name: str
    source: str
    definer: bool
    settings: tuple[str, ...]
    owner: str


def altered(schema: str, found: Iterable[Function]) -> list[str]:
    """The names of functions that are not as migrations make them, are missing, or that no migration makes."""
    return sorted({each.name for each in _made(schema) ^ {each._replace(source=each.source.strip()) for each in found}})


def _made(schema: str) -> set[Function]:
    owner = f"{schema}_owner"
    sources = "\n".join(file.read_text() for file in sorted(resources.path("migrations").glob("*.sql")))
    made = {name: Function(name, body, False, _SAFE, owner) for name, body in (("refuse_change", REFUSAL), ("tell", _NOTICE))}
    statements = sorted(_STATEMENT.findall(sources), key=lambda found: bool(found[0]))  # what replaces another comes last
    for _, name, head, body in statements:
        source = body.replace("SCHEMA.", f'"{schema}".').replace("GUARD.", f'"{schema}_guard".').strip()
        settings = tuple(f"{setting}={value}" for setting, value in _SETTING.findall(head))
        made[name] = Function(name, source, "SECURITY DEFINER" in head, settings, owner)
    return set(made.values())
