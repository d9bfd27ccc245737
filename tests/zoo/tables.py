"""The enclosures: tables, and what is done to their rows while the connectors look on.

`SNAPSHOT` runs before the connectors start, `LIVE` while they run. Each statement plants values of its own, so that a value
tells where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.zoo.animals import ANIMALS, EXTENSIONS, TYPES, Animal, quoted, seed

__all__ = ["CANARIES", "LARGE", "LIVE", "SIGNALS", "SNAPSHOT", "TABLES"]

CANARIES: dict[str, bytes] = {}
"""Every seed that was planted, by its place: filled when this module is imported."""

SIGNALS = "zoo.signals"


def _planted(*place: object) -> bytes:
    found = seed(*place)
    CANARIES["/".join(map(str, place))] = found
    return found


KEYED = tuple(animal for animal in ANIMALS if animal.keyed)
WRITTEN = tuple(animal for animal in ANIMALS if animal.written)

# Columns that PostgreSQL stores out of line. `xml` and arrays of json have their own ways to be written.
LARGE = (
    Animal("text", "text", lambda seed: seed.hex()),
    Animal("varchar", "varchar", lambda seed: seed.hex()),
    Animal("citext", "citext", lambda seed: seed.hex()),
    Animal("bytea", "bytea", lambda seed: "\\x" + seed.hex()),
    Animal("json", "json", lambda seed: json.dumps([seed.hex()])),
    Animal("jsonb", "jsonb", lambda seed: json.dumps([seed.hex()])),
    Animal("xml", "xml", lambda seed: f"<a>{seed.hex()}</a>"),
    Animal("hstore", "hstore", lambda seed: f"a=>{seed.hex()}"),
    Animal("domain", "zoo.line", lambda seed: seed.hex()),
    Animal("tsvector", "tsvector", lambda seed: seed.hex()),
    Animal("numeric", "numeric", lambda seed: str(int.from_bytes(seed))),
    Animal("text_array", "text[]", lambda seed: f"{{{seed.hex()}}}"),
    Animal("varchar_array", "varchar[]", lambda seed: f"{{{seed.hex()}}}"),
    Animal("bpchar_array", "char(40)[]", lambda seed: f"{{{seed.hex()}}}"),
    Animal("bytea_array", "bytea[]", lambda seed: f'{{"\\\\x{seed.hex()}"}}'),
    Animal("integer_array", "integer[]", lambda seed: f"{{{int.from_bytes(seed[:3])}}}"),
    Animal("bigint_array", "bigint[]", lambda seed: f"{{{int.from_bytes(seed[:7])}}}"),
    Animal("date_array", "date[]", lambda seed: f"{{19{seed[0] % 90 + 10}-01-01}}"),
    Animal("uuid_array", "uuid[]", lambda seed: f"{{{seed.hex()}}}"),
    Animal("json_array", "json[]", lambda seed: f"{{{int.from_bytes(seed)}}}"),
    Animal("jsonb_array", "jsonb[]", lambda seed: f"{{{int.from_bytes(seed)}}}"),
    Animal("numeric_array", "numeric[]", lambda seed: f"{{{int.from_bytes(seed)}}}"),
    Animal("timestamp_array", "timestamp[]", lambda seed: f"{{19{seed[0] % 90 + 10}-01-01}}"),
)


def _large(animal: Animal, place: str) -> str:
    """An expression for a value of several kilobytes, most of them not compressible."""
    value = quoted(animal.value(_planted("toast", place, animal.name)))
    noise = "(select string_agg(md5(i::text || random()::text), '') from generate_series(1, 200) i)"
    if animal.type.endswith("[]"):
        item = animal.type[:-2]
        noisy = {
            "bytea": f"array_fill(decode({noise}, 'hex'), array[2])",
            "integer": "(select array_agg(i * 7919 % 1000003) from generate_series(1, 2000) i)",
            "bigint": "(select array_agg(i * 7919 % 1000003) from generate_series(1, 2000) i)::bigint[]",
            "numeric": "(select array_agg(random()) from generate_series(1, 2000) i)::numeric[]",
            "date": "(select array_agg('1970-01-01'::date + i * 13) from generate_series(1, 2000) i)",
            "timestamp": "(select array_agg('1970-01-01'::timestamp + i * interval '1 day') from generate_series(1, 2000) i)",
            "uuid": "(select array_agg(gen_random_uuid()) from generate_series(1, 400) i)",
            "json": "(select array_agg(to_json(i * random())) from generate_series(1, 400) i)",
            "jsonb": "(select array_agg(to_jsonb(i * random())) from generate_series(1, 400) i)",
        }.get(item, f"(select array_agg(md5(i::text)) from generate_series(1, 400) i)::{animal.type}")
        return f"{value}::{animal.type} || {noisy}"
    return {
        "bytea": f"{value}::bytea || decode({noise}, 'hex')",
        "json": f"json_build_array({value}::json, {noise})",
        "jsonb": f"jsonb_build_array({value}::jsonb, {noise})",
        "xml": f"xmlelement(name b, {value}::xml, {noise})",
        "hstore": f"{value}::hstore || hstore('noise', {noise})",
        "tsvector": f"to_tsvector('simple', {value} || (select string_agg(md5(i::text), ' ') from generate_series(1, 400) i))",
        "numeric": f"({value} || repeat('1234567890', 3000))::numeric",
    }.get(animal.type, f"({value} || {noise})::{animal.type}")


_ZOO = 'zoo."Type Zoo"'
_COLUMNS = {_ZOO: ANIMALS, "zoo.required": WRITTEN, "zoo.partial": WRITTEN}


def _columns(animals: Sequence[Animal]) -> str:
    return ", ".join(f'"{animal.name}" {animal.type}' for animal in animals)


def _values(table: str, row: str, animals: Sequence[Animal]) -> str:
    return ", ".join(animal.literal(_planted(table, row, animal.name)) for animal in animals)


def _names(animals: Sequence[Animal]) -> str:
    return ", ".join(f'"{animal.name}"' for animal in animals)


def _insert(table: str, identity: int, row: str) -> str:
    animals = _COLUMNS[table]
    return f"insert into {table} (id, {_names(animals)}) values ({identity}, {_values(table, row, animals)})"


def _update(table: str, identity: int, row: str) -> str:
    animals = _COLUMNS[table]
    return f"update {table} set ({_names(animals)}) = ({_values(table, row, animals)}) where id = {identity}"


def _with_defaults(table: str, constraint: str) -> str:
    """A table whose defaults hold values themselves."""
    columns = (
        f'"{animal.name}" {animal.type} {constraint} default {animal.literal(_planted(table, "default", animal.name))}'
        for animal in _COLUMNS[table]
    )
    return f"create table {table} (id int primary key, {', '.join(columns)})"


_SIZE = 'zoo."Größe"'
_TEXT = next(animal for animal in ANIMALS if animal.name == "text")


def _text(*place: object) -> str:
    return f"'{_planted(*place).hex()}'"


TABLES = (
    *(f"create extension {extension}" for extension in EXTENSIONS),
    "create schema zoo",
    *TYPES,
    f"create table {_ZOO} (id int primary key, {_columns(ANIMALS)})",
    f"alter table {_ZOO} replica identity full",
    _with_defaults("zoo.required", "not null"),
    "alter table zoo.required replica identity full",
    _with_defaults("zoo.partial", "null"),
    f"create table zoo.keys ({_columns(KEYED)}, seen int, primary key ({_names(KEYED)}))",
    f"create table zoo.toast (id int primary key, touched int, {_columns(LARGE)})",
    *(
        f'alter table zoo.toast alter column "{animal.name}" set storage external'
        for animal in LARGE
        if animal.name != "numeric"
    ),
    "create table zoo.nokey (a text, b bigint)",
    "alter table zoo.nokey replica identity full",
    f'create table {_SIZE} ("Straße Nr." text, "größe" int, "MixedCase" text, "пол" text, "e\'mail ""x""" text,'
    ' primary key ("Straße Nr.", "größe"))',
    "create table zoo.parts (id int, born date, secret text, primary key (id, born)) partition by range (born)",
    "create table zoo.parts_old partition of zoo.parts for values from (minvalue) to ('2000-01-01')",
    "create table zoo.parts_new partition of zoo.parts for values from ('2000-01-01') to (maxvalue)",
    "create table zoo.indexed (id int primary key, email text not null unique, note text)",
    "alter table zoo.indexed replica identity using index indexed_email_key",
    "create table zoo.drift (id int primary key, a text, b integer)",
    "alter table zoo.drift replica identity full",
    "create table zoo.signals (id varchar(64) primary key, type varchar(32) not null, data varchar(2048))",
    "create table zoo.last (id int primary key)",
    "create table zoo.special (id int primary key, n numeric, s numeric(10,2), f real, d double precision,"
    " day date, t timestamp, tz timestamptz, late timetz, empty int4range)",
)

SNAPSHOT = (
    _insert(_ZOO, 1, "snapshot"),
    f"insert into {_ZOO} (id) values (2)",
    _insert("zoo.required", 1, "snapshot"),
    f"insert into zoo.keys values ({_values('keys', 'snapshot', KEYED)}, 1)",
    f"insert into zoo.toast values (1, 0, {', '.join(_large(animal, 'snapshot') for animal in LARGE)})",
    f"insert into zoo.nokey values ({_text('nokey', 'snapshot')}, 1)",
    f"insert into zoo.parts values (1, '1990-01-01', {_text('parts', 'snapshot')})",
    f"insert into zoo.drift values (1, {_text('drift', 'snapshot')}, 7)",
)

LIVE = (
    _insert(_ZOO, 3, "insert"),
    _update(_ZOO, 3, "update"),
    f"update {_ZOO} set id = 4 where id = 3",
    f"delete from {_ZOO} where id = 4",
    _insert("zoo.required", 2, "insert"),
    "insert into zoo.required (id) values (3)",
    _update("zoo.required", 2, "update"),
    "update zoo.required set id = 4 where id = 2",
    "delete from zoo.required where id = 4",
    _insert("zoo.partial", 2, "insert"),
    _update("zoo.partial", 2, "update"),
    "update zoo.partial set id = 4 where id = 2",
    "delete from zoo.partial where id = 4",  # its old image holds the key, and defaults
    f"insert into zoo.keys values ({_values('keys', 'insert', KEYED)}, 1)",
    "update zoo.keys set seen = 2",
    f"update zoo.keys set ({_names(KEYED)}) = ({_values('keys', 'moved', KEYED)}) where seen = 2 and text = "
    f"{_TEXT.literal(seed('keys', 'insert', 'text'))}",
    "delete from zoo.keys",
    f"insert into zoo.toast values (2, 0, {', '.join(_large(animal, 'insert') for animal in LARGE)})",
    "update zoo.toast set touched = 1",
    f"update zoo.toast set text = '__debezium_unavailable_value ' || {_text('toast', 'contains')},"
    f" text_array = array['__debezium_unavailable_value', {_text('toast', 'contains array')}] where id = 1",
    "delete from zoo.toast where id = 2",
    f"insert into zoo.nokey values ({_text('nokey', 'insert')}, 2)",
    f"update zoo.nokey set a = {_text('nokey', 'update')} where b = 2",
    "delete from zoo.nokey where b = 2",
    f"insert into {_SIZE} values ({_text('size', 'key')}, 1, {_text('size', 'mixed')}, {_text('size', 'cyrillic')},"
    f" {_text('size', 'quoted')})",
    f'update {_SIZE} set "Straße Nr." = {_text("size", "moved")}',
    f"delete from {_SIZE}",
    f"insert into zoo.parts values (2, '2010-01-01', {_text('parts', 'insert')})",
    f"update zoo.parts set born = '1980-01-01', secret = {_text('parts', 'moved')} where id = 2",
    f"insert into zoo.indexed values (1, {_text('indexed', 'key')}, {_text('indexed', 'note')})",
    f"update zoo.indexed set email = {_text('indexed', 'moved')}",
    "delete from zoo.indexed",
    f"alter table zoo.drift add column c text default {_text('drift', 'added default')}",
    f"insert into zoo.drift values (2, {_text('drift', 'a')}, 8, {_text('drift', 'added')})",
    "alter table zoo.drift rename column a to z",
    f"insert into zoo.drift values (3, {_text('drift', 'renamed')}, 9, {_text('drift', 'added too')})",
    "alter table zoo.drift alter column b type text",
    f"update zoo.drift set b = {_text('drift', 'retyped')} where id = 3",
    "alter table zoo.drift rename to drifted",
    f"insert into zoo.drifted values (4, {_text('drift', 'table renamed')}, 'x', null)",
    "insert into zoo.special values (1, 'NaN', 'NaN', 'NaN', '-Infinity', 'infinity', '-infinity', 'infinity', '24:00:00+00',"
    " 'empty')",
    "insert into zoo.special values (2, -0.0000000000001, -0.01, -0, 4.9e-324, '0044-03-15 BC', '0001-01-01',"
    " '9999-12-31 23:59:59+00', '00:00:00-15:59', '[1,1]')",
    f"select pg_logical_emit_message(true, {_text('message', 'prefix')}, {_text('message', 'content')})",
    f"select pg_logical_emit_message(false, 'now' || {_text('message', 'loose prefix')}, {_text('message', 'loose content')})",
    f"select pg_logical_emit_message(true, 'hint', {_text('message', 'hint content')})",
    "truncate zoo.nokey",
    f"insert into zoo.signals values ({_text('signal', 'id')}, 'execute-snapshot', '"
    + json.dumps(
        {
            "data-collections": ["zoo.parts_old"],
            "type": "incremental",
            "additional-conditions": [
                {"data-collection": "zoo.parts_old", "filter": f"secret <> '{_planted('signal', 'filter').hex()}'"}
            ],
        }
    ).replace("'", "''")
    + "')",
)
