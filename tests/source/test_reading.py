"""What is read from PostgreSQL's catalog, and what is said when it can't be."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from cdc_masker.drafting.tables import ColumnName, Link, SourceTable, TableName, Unique
from cdc_masker.errors import CdcMaskerError, SetupError, TransientError
from cdc_masker.settings import load
from cdc_masker.source import read_source
from cdc_masker.stack import Database, Stack
from tests.source.kit import execute, on_source, read, sampled, settings, table

pytestmark = pytest.mark.stack

SCHEMA = """
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE SCHEMA "Crm";
CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN types.short AS varchar(7);
CREATE DOMAIN types.shorter AS types.short CHECK (length(value) < 4);
CREATE DOMAIN types.feeling AS types.mood;
CREATE TYPE types.text AS (street text, number bigint);
CREATE TABLE "Crm"."Every Type" (
  a text, b varchar(80), c char(40), d char, e "char", f bpchar, g numeric(10,2), h numeric, i timestamp(3), j timestamptz,
  k timestamp(3) with time zone, l time, m timetz(2), n interval day to second(3), o bit varying(9), p bit(3),
  q double precision, r integer[], s varchar(5)[][], t types.mood, u types.mood[], v types.shorter, w types.feeling,
  x types.shorter[], y types.text, z citext, aa hstore, ab "types".text[], ac int8range, ad varchar, gone text
);
ALTER TABLE "Crm"."Every Type" DROP COLUMN gone;
CREATE TABLE "Crm".keys (
  id bigint PRIMARY KEY, email text NOT NULL, tenant integer NOT NULL, note text, extra text, free text,
  "both" text GENERATED ALWAYS AS (email || note) STORED
);
CREATE UNIQUE INDEX by_email ON "Crm".keys (tenant, email) INCLUDE (extra);
CREATE UNIQUE INDEX by_folded ON "Crm".keys (lower(note), tenant) INCLUDE (extra);
CREATE INDEX not_unique ON "Crm".keys (free);
ALTER TABLE "Crm".keys REPLICA IDENTITY USING INDEX by_email;
COMMENT ON COLUMN "Crm".keys.note IS 'what they said';
CREATE TABLE "Crm".unkeyed (a integer NOT NULL UNIQUE, b integer);
CREATE TABLE "Crm".hidden (id integer PRIMARY KEY, up integer REFERENCES "Crm".hidden);
CREATE TABLE "Crm".child (keys_id bigint REFERENCES "Crm".keys, hidden_id integer REFERENCES "Crm".hidden);
CREATE TABLE "Crm".parts (id integer, born date, keys_id bigint REFERENCES "Crm".keys, PRIMARY KEY (id, born))
  PARTITION BY RANGE (born);
CREATE TABLE "Crm".parts_old PARTITION OF "Crm".parts FOR VALUES FROM (minvalue) TO ('2000-01-01');
CREATE PUBLICATION cdc_masker
  FOR TABLE "Crm"."Every Type", "Crm".keys (id, email, tenant), "Crm".unkeyed, "Crm".child, "Crm".parts;
"""


@pytest.fixture(scope="module")
def database(fresh_database: Callable[[str], Database]) -> Database:
    made = fresh_database("source")
    execute(made, SCHEMA)
    return made


def test_types_are_written_as_rules_state_them(database: Database) -> None:
    found = table(read(database), "Crm", "Every Type")
    assert {each.name: each.type for each in found.columns} == {
        "a": "text", "b": "varchar(80)", "c": "char(40)", "d": "char(1)", "e": "char", "f": "bpchar", "g": "numeric(10,2)",
        "h": "numeric", "i": "timestamp(3)", "j": "timestamptz", "k": "timestamptz(3)", "l": "time", "m": "timetz(2)",
        "n": "interval", "o": "varbit(9)", "p": "bit(3)", "q": "double precision", "r": "integer[]", "s": "varchar(5)[]",
        "t": "enum", "u": "enum[]", "v": "varchar(7)", "w": "enum", "x": "varchar(7)[]", "y": "types.text", "z": "citext",
        "aa": "hstore", "ab": "types.text[]", "ac": "int8range", "ad": "varchar",
    }  # fmt: skip
    assert {each.name: each.labels for each in found.columns if each.labels is not None} == {"t": 3, "u": 3, "w": 3}
    assert [each.name for each in found.columns if each.stated is None] == ["y", "ab"]


def test_keys_indexes_comments_and_computed_columns_are_read_of_columns_that_are_not_published_too(database: Database) -> None:
    found = table(read(database), "Crm", "keys")
    assert [each.name for each in found.columns] == ["id", "email", "tenant", "note", "extra", "free", "both"]
    assert found.key == ("id", "email", "tenant")
    assert found.unique == (
        Unique(words="primary key", columns=("id",)),
        Unique(words="unique index 'by_email'", columns=("tenant", "email")),
        Unique(words="unique index 'by_folded'", columns=("tenant", "note")),
    )
    facts = {each.name: (each.nullable, each.comment, each.generated, each.inputs) for each in found.columns}
    assert facts["email"] == (False, None, False, ())
    assert facts["note"] == (True, "what they said", False, ())
    assert facts["both"] == (True, None, True, ("email", "note"))


def test_without_a_primary_key_unique_indexes_make_the_key(database: Database) -> None:
    source = read(database)
    assert table(source, "Crm", "unkeyed").key == ("a",)
    assert table(source, "Crm", "child").key == ()


def test_what_lies_between_published_tables_is_linked_and_only_they_are_tables(database: Database) -> None:
    source = read(database)
    assert [each.name for each in source.tables] == ["Every Type", "child", "keys", "parts_old", "unkeyed"]

    def of(one: str, other: str) -> Link:
        return Link(column=ColumnName("Crm", *one.split(".")), target=ColumnName("Crm", *other.split(".")))

    assert source.links == (
        of("child.hidden_id", "hidden.id"),
        of("child.keys_id", "keys.id"),
        of("hidden.up", "hidden.id"),
        of("parts.keys_id", "keys.id"),
    )


def test_partitions_are_told_as_the_publication_publishes_them(database: Database) -> None:
    leaf = table(read(database), "Crm", "parts_old")
    assert (leaf.root, leaf.key) == (TableName("Crm", "parts"), ("id", "born"))
    execute(database, "ALTER PUBLICATION cdc_masker SET (publish_via_partition_root = true)")
    try:
        whole = read(database)
        assert whole.table(TableName("Crm", "parts_old")) is None
        root = table(whole, "Crm", "parts")
        assert (root.root, root.key) == (None, ("id", "born"))
    finally:
        execute(database, "ALTER PUBLICATION cdc_masker SET (publish_via_partition_root = false)")


def test_rows_are_the_servers_estimate(database: Database) -> None:
    def rows() -> SourceTable:
        return table(read(database), "Crm", "unkeyed")

    assert rows().rows is None
    execute(database, 'INSERT INTO "Crm".unkeyed SELECT n FROM generate_series(1, 321) n', 'ANALYZE "Crm".unkeyed')
    assert rows().rows == 321
    execute(database, 'TRUNCATE "Crm".unkeyed')


def test_a_sample_is_short_texts_without_nulls(database: Database) -> None:
    execute(database, 'INSERT INTO "Crm"."Every Type" (a, r) SELECT repeat(\'x\', 999), array[n] FROM generate_series(1, 9) n')
    a, r, b = (ColumnName("Crm", "Every Type", name) for name in "arb")
    found = sampled(settings(database), [r, b, a], 4)
    assert found[a] == ("x" * 200,) * 4
    assert set(found[r]) < {f"{{{n}}}" for n in range(1, 10)}
    assert found[b] == ()


def test_nothing_can_be_written(database: Database) -> None:
    with pytest.raises(SetupError, match="SQLSTATE 25006"):
        on_source(settings(database), lambda connection: connection.execute('DELETE FROM "Crm".keys'))


def test_a_role_without_any_right_reads_the_catalog_but_no_values(database: Database, unique: Callable[[str], str]) -> None:
    role = unique("reader")
    execute(database, f"CREATE ROLE {role} LOGIN PASSWORD 'canary'")
    of = load(source_url=f"{database.dsn_of(role, 'canary')}?sslmode=disable")
    source = on_source(of, lambda connection: read_source(connection, of))
    assert source == read(database)
    with pytest.raises(SetupError, match="grant it USAGE on the schemas and SELECT on the tables"):
        sampled(of, [ColumnName("Crm", "keys", "note")], 1)


def refusal(url: str, **more: str) -> CdcMaskerError:
    of = load(source_url=url, **more)
    with pytest.raises(CdcMaskerError) as caught:
        on_source(of, lambda connection: read_source(connection, of))
    error = caught.value
    assert "canary" not in str(error)
    assert error.__suppress_context__ or error.__context__ is None
    return error


def test_what_the_server_refuses_is_told_with_a_remedy(database: Database, postgres: Stack) -> None:
    place = f"{database.host}:{database.port}"
    assert "not an address" in str(refusal("canary"))
    assert "not an address" in str(refusal(f"postgresql://canary@{place}/x?sslmode=canary"))
    assert "refused the login" in str(refusal(f"postgresql://postgres:canary@{place}/{database.name}?sslmode=disable"))
    assert "no such database" in str(refusal(database.dsn.replace(database.name, "canary") + "?sslmode=disable"))
    assert "no publication other" in str(refusal(f"{database.dsn}?sslmode=disable", source_publication="other"))
    away = refusal("postgresql://canary:canary@127.0.0.1:1/canary?sslmode=disable")
    assert isinstance(away, TransientError)
    with pytest.raises(SetupError, match="no source database is set"):
        on_source(load(), lambda connection: connection.execute("SELECT 1"))


def test_a_connection_that_breaks_may_be_tried_again(database: Database) -> None:
    async def end(connection: asyncpg.Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(TransientError):
        on_source(settings(database), end)
