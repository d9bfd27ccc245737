"""A thousand random tamperings with released policies, each by somebody with too many rights: PostgreSQL refuses it, or `policy
verify` detects it, with signatures required and the seals of the audit topic as the anchor outside of the catalog.

Each is done in a transaction that is rolled back. The seed is printed; CDC_MASKER_TEST_SEED repeats it.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.catalog.database import Database as Pool
from cdc_masker.catalog.guarding import Guarding
from cdc_masker.catalog.verifying import Anchor, Verifier
from cdc_masker.policies import EMPTY
from cdc_masker.sealing import Signature, signed_message
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.entries import entry
from tests.integration.tampering import (
    ACTORS,
    TABLES,
    UNDONE,
    VERSIONS,
    NothingChanged,
    Tampering,
    Victim,
    rewrite,
    run,
    tamperings,
)
from tests.migrations.kit import Revisions

pytestmark = pytest.mark.stack

TAMPERINGS = 1000
BARE = "superuser who undid the guard"
REFUSALS = {
    "42501": "insufficient privilege",
    "P0001": "raised by a trigger, the guard or a function of ours",
    **dict.fromkeys(("23502", "23503", "23505", "23514"), "a constraint"),
    "2BP01": "others depend on it",
}


@pytest.fixture
def victim(fresh_database: Callable[[str], Database], tmp_path: Path) -> Victim:
    database = fresh_database("tampered")
    settings = load(database_url=database.dsn, database_ssl="disable")
    revisions = Revisions(tmp_path)
    revisions.write(
        "r1",
        None,
        """
        op.mask_column("crm.people", "name", method="partial", first=1, last=0, reason="seen by support", ticket="T-1")
        op.mask_column("crm.people", "doc", method="redact", type="jsonb", path="$.a", reason="free text")
        op.mask_columns("*.*", "*email", method="redact", reason="whatever table")
        op.keep_column("crm.people", "id", reason="a number of ours")
        """,
    )
    for number in range(2, VERSIONS + 1):
        said = f"op.allow_weaker('step {number}')\nop.mask_column('crm.people', 'c{number}', method='fixed', value={number})"
        revisions.write(f"r{number}", f"r{number - 1}", said)
    commands.upgrade(settings, tmp_path)
    return asyncio.run(_mask_and_sign(settings, database))


async def _mask_and_sign(settings: Settings, database: Database) -> Victim:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    async with open_catalog(settings) as catalog:
        policies = [await catalog.policies.at(version) for version in range(1, VERSIONS + 1)]
        for policy in policies:
            now = datetime.now(UTC)
            signature = key.sign(signed_message(policy.seal, now))
            await catalog.signatures.add(Signature(policy.version, public, now, signature), policy.seal)
        told = [(policy.version, policy.digest, policy.seal) for policy in policies]
        entries = [
            entry(version, version, policy_version=version, policy_digest=digest, policy_seal=sealed)
            for version, digest, sealed in ((0, EMPTY.digest, ""), *told)
        ]
        await catalog.audit.append(entries)
    connection = await asyncpg.connect(database.dsn, ssl=False)
    rows = {}
    for table in TABLES:
        rows[table] = [row[0] for row in await connection.fetch(f"SELECT ctid::text FROM cdc_masker.{table} ORDER BY 1")]
    await connection.close()
    anchors = [Anchor(*each, "topic audit") for each in told]
    return Victim(database.dsn, public, anchors, rows, policies[0])


@asynccontextmanager
async def connected(victim: Victim) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(
        victim.dsn.replace("postgresql:", "postgresql+asyncpg:") + "?prepared_statement_cache_size=0",
        isolation_level="REPEATABLE READ",
        connect_args={"ssl": False, "statement_cache_size": 0},
    ).execution_options(schema_translate_map={None: "cdc_masker"})
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


class Within:
    """A pool that is one connection in a transaction."""

    schema = "cdc_masker"

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        yield self._connection


async def problems(connection: AsyncConnection, *keys: bytes, anchors: list[Anchor]) -> tuple[str, ...]:
    return (await Verifier(cast(Pool, Within(connection))).verify(keys, anchors)).problems


async def attempt(connection: AsyncConnection, victim: Victim, actor: str, tamper: Tampering, seed: str) -> str:
    """What comes of one tampering: `refused`, `detected`, or what is none of these."""
    transaction = await connection.begin()
    try:
        for statement in ACTORS[actor]:
            await run(connection, statement)
        await tamper(connection, random.Random(seed))
        await run(connection, "RESET ROLE")
        await run(connection, "SET LOCAL session_replication_role = origin")
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        return "refused" if state in REFUSALS else f"failed: {error.orig}"
    else:
        return "detected" if await detected(connection, victim, tamper) else "undetected"
    finally:
        await transaction.rollback()


async def detected(connection: AsyncConnection, victim: Victim, tamper: Tampering) -> bool:
    """By `policy verify`; where no row was changed, by `doctor`."""
    try:
        if await problems(connection, victim.key, anchors=victim.anchors):
            return True
        if tamper.__name__ != "disarm":
            return False
        condition = await Guarding(cast(Pool, Within(connection))).condition()
    except DBAPIError:
        return True  # a table or a column is gone
    return not condition.guarded or bool(condition.changeable or condition.emptyable or condition.grants)


async def test_every_tampering_is_refused_or_detected(victim: Victim) -> None:
    seed = os.environ.get("CDC_MASKER_TEST_SEED") or secrets.token_hex(4)
    print(f"CDC_MASKER_TEST_SEED={seed}")
    draw, kinds = random.Random(seed), tamperings(victim)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    async with connected(victim) as connection:
        async with connection.begin():
            assert await problems(connection, victim.key, anchors=victim.anchors) == ()
        while outcomes.total() < TAMPERINGS:
            actor, kind = draw.choice([*ACTORS, *[BARE] * 6]), draw.choice(list(kinds))
            one = f"{seed}/{draw.getrandbits(64)}"
            try:
                outcome = await attempt(connection, victim, actor, kinds[kind], one)
            except NothingChanged:
                continue
            assert outcome in ("refused", "detected"), f"{kind} by {actor}, {one}: {outcome}"
            outcomes[actor, kind, outcome] += 1
        async with connection.begin():
            assert await problems(connection, victim.key, anchors=victim.anchors) == ()
    for (actor, kind, outcome), count in sorted(outcomes.items()):
        print(f"{count:4} {outcome} {kind} by {actor}")
    for kind in kinds:
        assert outcomes[BARE, kind, "detected"], f"{kind} was never done"
        if kind not in ("insert", "call", "disarm"):
            assert all(outcome == "refused" for actor, each, outcome in outcomes if each == kind and actor != BARE), kind


async def test_without_signatures_and_the_audit_a_chain_can_be_written_anew(victim: Victim) -> None:
    """What docs/catalog.md says can't be noticed."""
    async with connected(victim) as connection:
        transaction = await connection.begin()
        for statement in UNDONE:
            await run(connection, statement)
        await run(connection, "UPDATE cdc_masker.policy_rule SET method = 'keep', params = '{}' WHERE column_name = 'name'")
        await rewrite(connection, 1)
        assert await problems(connection, anchors=[]) != ()  # the signatures and the audit are still there
        await run(connection, "DELETE FROM cdc_masker.policy_signature")
        assert all("audit" in each for each in await problems(connection, anchors=[]))
        await run(connection, "DELETE FROM cdc_masker.audit_entry")
        assert await problems(connection, anchors=[]) == ()
        assert len(await problems(connection, anchors=victim.anchors)) == VERSIONS
        assert len(await problems(connection, victim.key, anchors=[])) == VERSIONS
        await transaction.rollback()
