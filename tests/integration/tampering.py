"""Tamperings with released policies: what is drawn, and how it is done."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncConnection

from cdc_masker.catalog.chain import read_release
from cdc_masker.catalog.tables import policy_version
from cdc_masker.catalog.verifying import Anchor
from cdc_masker.policies import Policy
from cdc_masker.sealing import Release, seal, signed_message

__all__ = ["ACTORS", "TABLES", "UNDONE", "VERSIONS", "NothingChanged", "Tampering", "Victim", "rewrite", "run", "tamperings"]

VERSIONS = 4
TABLES = ("policy_version", "policy_rule", "policy_signature")
KEYS = {
    "policy_version": ("version",),
    "policy_rule": ("version", "server", "table_schema", "table_name", "column_name", "path", "pattern"),
    "policy_signature": ("version", "key"),
}
TEXTS = ("null", "'x'", "''", "'sha256:00'", "'keep'", "'*'", "'$.a'", "'text'")
OTHERS = {
    "version": ("-1", "0", "1", "2", str(VERSIONS + 1), "99"),
    "parent": ("null", "1", "2", "99"),
    "key_epoch": ("2", "7"),
    "tables": ("""'[{"schema": "s", "table": "t", "default": "drop"}]'""", "'{}'", "'null'"),
    "domains": ("""'[{"name": "d"}]'""", "'[]'", "'1'"),
    "envelopes": ("""'[{"topic": "t", "shape": "signals"}]'""", "'[1]'"),
    "headers": ("""'["trace"]'""", """'"x"'"""),
    "heads": ("'[]'", """'["r1", "r2"]'""", "'1'", "'[1]'"),
    "params": ("""'{"first": 9}'""", "'[]'", "'null'"),
    "created_at": ("now()", "created_at + interval '1 microsecond'"),
    "signed_at": ("now()", "signed_at + interval '1 microsecond'"),
    "key": ("'x'", "decode(repeat('01', 32), 'hex')"),  # in the name of the key 00… anybody can sign
    "signature": ("'x'", "decode(repeat('00', 64), 'hex')"),
    **dict.fromkeys(("pattern", "strict", "allow_small_domain", "allow_uniqueness_loss"), ("true", "false")),
}
COLUMNS = {
    "policy_version": (
        "version", "parent", "digest", "seal", "default_method", "key_epoch", "tables", "domains", "envelopes", "headers",
        "revision", "heads", "reason", "weaker_reason", "created_at", "created_by",
    ),
    "policy_rule": (
        "version", "server", "table_schema", "table_name", "column_name", "path", "pattern", "type", "method", "params",
        "strict", "allow_small_domain", "allow_uniqueness_loss", "classification", "reason", "ticket",
    ),
    "policy_signature": ("version", "key", "signed_at", "signature"),
}  # fmt: skip
UNDONE = (  # what a superuser does first
    "ALTER EVENT TRIGGER cdc_masker_guard_alter DISABLE",
    "ALTER EVENT TRIGGER cdc_masker_guard_drop DISABLE",
    *(f"ALTER TABLE cdc_masker.{table} DISABLE TRIGGER ALL" for table in (*TABLES, "audit_entry")),
)
ACTORS = {
    "worker": ("SET LOCAL ROLE cdc_masker_worker",),
    "migrator": ("SET LOCAL ROLE cdc_masker_migrator",),
    "signer": ("SET LOCAL ROLE cdc_masker_signer",),
    "owner": ("SET LOCAL ROLE cdc_masker_owner",),
    "superuser": ("SET LOCAL session_replication_role = replica",),
    "superuser who undid the guard": ("SET LOCAL session_replication_role = replica", *UNDONE),
}
Tampering = Callable[[AsyncConnection, random.Random], Awaitable[None]]


class NothingChanged(Exception):
    """The tampering that was drawn would leave all as it is."""


@dataclass(frozen=True)
class Victim:
    """A catalog with some signed versions under which batches were masked. `anchors`: what the audit topic tells; `rows`: where
    the rows of each table are; `weaker`: a policy that a migrator might release.
    """

    dsn: str
    key: bytes
    anchors: list[Anchor]
    rows: dict[str, list[str]]
    weaker: Policy


def tamperings(victim: Victim) -> dict[str, Tampering]:
    def somewhere(draw: random.Random, table: str, count: int = 1) -> list[str]:
        return draw.sample(victim.rows[table], count)

    def something(draw: random.Random, table: str) -> tuple[str, str]:
        column = draw.choice(COLUMNS[table])
        return column, draw.choice(OTHERS.get(column, TEXTS))

    async def update(connection: AsyncConnection, draw: random.Random) -> None:
        table = draw.choice(TABLES)
        column, value = something(draw, table)
        (row,) = somewhere(draw, table)
        await changes(
            connection,
            f"UPDATE cdc_masker.{table} SET {column} = {value} "
            f"WHERE ctid = '{row}' AND {column}::text IS DISTINCT FROM ({value})::text",
        )

    async def delete(connection: AsyncConnection, draw: random.Random) -> None:
        table = draw.choice(TABLES)
        (row,) = somewhere(draw, table)
        await changes(connection, f"DELETE FROM cdc_masker.{table} WHERE ctid = '{row}'")

    async def insert(connection: AsyncConnection, draw: random.Random) -> None:
        table = draw.choice(TABLES)
        other = {column: draw.choice(OTHERS.get(column, TEXTS)) for column in draw.sample(COLUMNS[table], 2)}
        other |= {column: draw.choice(OTHERS.get(column, TEXTS)) for column in draw.sample(KEYS[table], 1)}
        values = ", ".join(other.get(column, column) for column in COLUMNS[table])
        (row,) = somewhere(draw, table)
        await changes(
            connection,
            f"INSERT INTO cdc_masker.{table} ({', '.join(COLUMNS[table])}) "
            f"SELECT {values} FROM cdc_masker.{table} WHERE ctid = '{row}'",
        )

    async def swap(connection: AsyncConnection, draw: random.Random) -> None:
        table = draw.choice(TABLES)
        column = draw.choice(COLUMNS[table])
        one, other = somewhere(draw, table, 2)

        def value(row: str) -> str:
            return f"(SELECT {column} FROM cdc_masker.{table} WHERE ctid = '{row}')"

        await changes(
            connection,
            f"UPDATE cdc_masker.{table} SET {column} = CASE WHEN ctid = '{one}' THEN {value(other)} ELSE {value(one)} END "
            f"WHERE ctid IN ('{one}', '{other}') AND {value(one)}::text IS DISTINCT FROM {value(other)}::text",
        )

    async def truncate(connection: AsyncConnection, draw: random.Random) -> None:
        await run(connection, f"TRUNCATE cdc_masker.{draw.choice(TABLES)} CASCADE")

    async def disarm(connection: AsyncConnection, draw: random.Random) -> None:
        table = f"cdc_masker.{draw.choice(TABLES)}"
        statements = (
            f"ALTER TABLE {table} DISABLE TRIGGER append_only",
            f"ALTER TABLE {table} ENABLE REPLICA TRIGGER append_only_truncate",
            f"DROP TRIGGER append_only ON {table}",
            f"ALTER TRIGGER append_only ON {table} RENAME TO other",
            f"CREATE RULE quietly AS ON UPDATE TO {table} DO INSTEAD NOTHING",
            f"CREATE TRIGGER also BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION cdc_masker.refuse_change()",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} RENAME TO other",
            f"ALTER TABLE {table} ADD surprise int",
            f"GRANT UPDATE ON {table} TO cdc_masker_worker",
            "ALTER TABLE cdc_masker.policy_version DROP COLUMN seal",
            "CREATE OR REPLACE FUNCTION cdc_masker.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
            "DROP FUNCTION cdc_masker.refuse_change() CASCADE",
            "DROP SCHEMA cdc_masker CASCADE",
            "DROP SCHEMA cdc_masker_guard CASCADE",
            "DROP FUNCTION cdc_masker_guard.refuse_alter() CASCADE",
            "DROP EVENT TRIGGER IF EXISTS cdc_masker_guard_alter",
            "ALTER EVENT TRIGGER cdc_masker_guard_drop DISABLE",
        )
        statement = draw.choice(statements)
        await run(connection, statement)
        if statement.startswith("GRANT"):  # who may not grant a right only gets a warning
            granted = f"SELECT has_table_privilege('cdc_masker_worker', '{table}', 'UPDATE')"
            if not (await connection.exec_driver_sql(granted)).scalar_one():
                raise NothingChanged

    async def rehash_digest(connection: AsyncConnection, draw: random.Random) -> None:
        version = draw.randint(1, VERSIONS)
        await weaken(connection, draw, version)
        found = await stored(connection, version)
        await changes(
            connection, f"UPDATE cdc_masker.policy_version SET digest = '{found.policy.digest}' WHERE version = {version}"
        )

    async def rehash_all(connection: AsyncConnection, draw: random.Random) -> None:
        version = draw.randint(1, VERSIONS)
        await weaken(connection, draw, version)
        await rewrite(connection, version)
        await cover_up(connection, draw, version)

    async def cut_off(connection: AsyncConnection, draw: random.Random) -> None:
        version = draw.randint(1, VERSIONS)
        for table in reversed(TABLES):
            await changes(connection, f"DELETE FROM cdc_masker.{table} WHERE version >= {version}")
        await cover_up(connection, draw, version)

    async def call(connection: AsyncConnection, draw: random.Random) -> None:
        newest = victim.anchors[-1]
        document = json.dumps({**victim.weaker.export(), "revision": "x", "heads": ["x"], "reason": "quietly"})
        statements = (
            f"SELECT cdc_masker.release_policy('{document.replace(chr(39), chr(39) * 2)}', '{newest.digest}', '')",
            f"SELECT cdc_masker.sign_policy({newest.version}, '{newest.seal}', 'x', now(), 'y')",
            "INSERT INTO cdc_masker.audit_entry SELECT (jsonb_populate_record(entry, other.members)).* "
            "FROM cdc_masker.audit_entry AS entry, "
            "jsonb_build_object('first_offset', 99, 'last_offset', 99, 'policy_seal', 'x') AS other (members) "
            "WHERE first_offset = 1",
        )
        await run(connection, draw.choice(statements))

    kinds = (update, delete, insert, swap, truncate, disarm, rehash_digest, rehash_all, cut_off, call)
    return {kind.__name__: kind for kind in kinds}


async def run(connection: AsyncConnection, statement: str) -> int:
    return (await connection.exec_driver_sql(statement)).rowcount


async def changes(connection: AsyncConnection, statement: str) -> None:
    if await run(connection, statement) == 0:
        raise NothingChanged


async def weaken(connection: AsyncConnection, draw: random.Random, version: int) -> None:
    """Keeps what was masked, in one version."""
    change = draw.choice(("method = 'keep', params = '{}'", "column_name = column_name || 'x'", "server = 'elsewhere'"))
    await changes(connection, f"UPDATE cdc_masker.policy_rule SET {change} WHERE version = {version} AND column_name = 'name'")


async def stored(connection: AsyncConnection, version: int) -> Release:
    row = (await connection.execute(policy_version.select().where(policy_version.c.version == version))).one()
    return await read_release(connection, row)


async def rewrite(connection: AsyncConnection, first: int) -> None:
    """Computes digests and seals anew, from a version on to the last."""
    before = (await stored(connection, first - 1)).seal if first > 1 else ""
    for version in range(first, VERSIONS + 1):
        found = await stored(connection, version)
        found = replace(found, digest=found.policy.digest)
        before = seal(found, before)
        await changes(
            connection,
            f"UPDATE cdc_masker.policy_version SET digest = '{found.digest}', seal = '{before}' WHERE version = {version}",
        )


async def cover_up(connection: AsyncConnection, draw: random.Random, first: int) -> None:
    """Takes signatures out, or signs with another key, and makes the catalog's audit fit, each or not."""
    if draw.random() < 0.7:
        await run(connection, f"DELETE FROM cdc_masker.policy_signature WHERE version >= {first}")
        if draw.random() < 0.5:
            await sign_anew(connection, first)
    if draw.random() < 0.7:
        await run(
            connection,
            "UPDATE cdc_masker.audit_entry AS entry SET policy_digest = digest, policy_seal = seal "
            "FROM cdc_masker.policy_version WHERE version = entry.policy_version",
        )
        await run(
            connection,
            "DELETE FROM cdc_masker.audit_entry WHERE policy_version > (SELECT count(*) FROM cdc_masker.policy_version)",
        )


async def sign_anew(connection: AsyncConnection, first: int) -> None:
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    public = key.public_key().public_bytes_raw().hex()
    rows = await connection.exec_driver_sql(f"SELECT version, seal FROM cdc_masker.policy_version WHERE version >= {first}")
    for row in rows.mappings().all():
        version, sealed = row["version"], row["seal"]
        signature = key.sign(signed_message(sealed, now)).hex()
        await run(
            connection,
            f"INSERT INTO cdc_masker.policy_signature VALUES "
            f"({version}, decode('{public}', 'hex'), '{now.isoformat()}', decode('{signature}', 'hex'))",
        )
