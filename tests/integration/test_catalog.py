"""The catalog as a worker and a person at the command line meet it, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cdc_masker.catalog import Catalog, commands, open_catalog
from cdc_masker.errors import CdcMaskerError, SetupError, TransientError, UnverifiedError
from cdc_masker.events import Acceptance, Fate
from cdc_masker.evidence import encode_entry
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.entries import entry, note

pytestmark = pytest.mark.stack

REVISION = '''"""Mask the customers"""
from alembic import op

revision, down_revision, branch_labels, depends_on = "one", None, "policy", "catalog"


def upgrade():
    op.declare_domain("email", type="text")
    op.mask_column("crm.customers", "email", method="tokenize", type="text", domain="email", reason="joins")
    op.keep_column("crm.customers", "id", reason="a number we made up")


def downgrade():
    pass
'''

ENTRY = entry(
    0,
    9,
    counts={Fate.MASKED: 8, Fate.CONTROL: 0, Fate.QUARANTINED: 1, Fate.DROPPED: 0},
    gaps=((7, 7),),
    notes=(note(4),),
)


@pytest.fixture
def database(fresh_database: Callable[[str], Database]) -> Database:
    return fresh_database("catalog")


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "one.py").write_text(REVISION)
    return directory


@pytest.fixture
def settings(database: Database, policies: Path) -> Settings:
    """A catalog with one policy version."""
    settings = load(database_url=database.dsn, database_ssl="disable")
    commands.upgrade(settings, policies)
    return settings


async def current(settings: Settings) -> Policy:
    async with open_catalog(settings) as catalog:
        return await catalog.policies.current()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn, ssl=False)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_policy_comes_back_as_it_was_released(settings: Settings) -> None:
    policy = await current(settings)
    assert [(rule.column, rule.method, rule.params) for rule in policy.rules] == [
        ("email", "tokenize", {"domain": "email"}),
        ("id", "keep", {}),
    ]
    assert Policy.from_document(policy.export()) == policy


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE cdc_masker.policy_rule SET method = 'keep' WHERE column_name = 'email'",
        "UPDATE cdc_masker.policy_rule SET column_name = 'phone' WHERE column_name = 'id'",
        "UPDATE cdc_masker.policy_rule SET params = '{\"domain\": \"other\"}' WHERE column_name = 'email'",
        "DELETE FROM cdc_masker.policy_rule WHERE column_name = 'email'",
        "INSERT INTO cdc_masker.policy_rule VALUES (1, '*', 's', 't', 'c', '', 'f', null, 'keep', '{}', 'f', 'f', 'f')",
        "UPDATE cdc_masker.policy_version SET headers = '[\"trace\"]'",
        "UPDATE cdc_masker.policy_version SET domains = '[]'",
        "UPDATE cdc_masker.policy_version SET default_method = 'keep'",
        "UPDATE cdc_masker.policy_version SET digest = 'sha256:00'",
    ],
)
async def test_tampered_rows_are_refused(settings: Settings, database: Database, tampering: str) -> None:
    off = [f"DROP EVENT TRIGGER cdc_masker_guard_{each}" for each in ("alter", "drop")]
    off += [f"ALTER TABLE cdc_masker.{table} DISABLE TRIGGER append_only" for table in ("policy_rule", "policy_version")]
    await execute(database.dsn, *off, tampering)
    with pytest.raises(UnverifiedError):
        await current(settings)


async def test_a_generation_records_the_policy_it_began_under(settings: Settings, database: Database) -> None:
    async with open_catalog(settings) as catalog:
        await catalog.generations.register(1, ["shop.crm.customers"], await catalog.policies.current())
        await catalog.generations.register(2, ["shop.crm.customers"], Policy.of(7, key_epoch=3))
    connection = await asyncpg.connect(database.dsn, ssl=False)
    rows = await connection.fetch(
        "SELECT generation, output_topic, state, policy_version, key_epoch FROM cdc_masker.generation ORDER BY 1"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [
        (1, "masked.shop.crm.customers", "live", 1, 1),
        (2, "masked.shop.crm.customers.g2", "live", 7, 3),
    ]


async def test_generations_that_contradict_are_refused(settings: Settings, database: Database) -> None:
    await execute(
        database.dsn,
        "INSERT INTO cdc_masker.generation VALUES ('old', 1, 'masked.old', 'retired', 0, 1)",
        "INSERT INTO cdc_masker.generation VALUES ('other', 1, 'masked.new', 'live', 0, 1)",
        "INSERT INTO cdc_masker.generation VALUES ('old.g2', 1, 'masked.old.g2', 'live', 0, 1)",
    )
    async with open_catalog(settings) as catalog:
        for topic, number in (("old", 1), ("new", 1), ("old", 2)):
            with pytest.raises(SetupError, match=f"generation {number} of topic {topic} is not live in the catalog, or masked"):
                await catalog.generations.register(number, [topic], EMPTY)
        assert [each.topic for each in await catalog.generations.live()] == ["old.g2", "other"]


async def test_audit_entries_come_back_as_they_were(settings: Settings) -> None:
    lost = Acceptance("auditor", "the topic was deleted", "another-id")
    later = entry(10, counts=dict.fromkeys(Fate, 0), columns={}, root="", accepted=lost, masked_at=2**41)
    other = entry(topic="other")
    async with open_catalog(settings) as catalog:
        assert await catalog.audit.append([ENTRY, later, other]) == 3
        chain = ENTRY.generation, ENTRY.incarnation, ENTRY.topic, ENTRY.partition
        assert await catalog.audit.ending_at(*chain, ENTRY.last_offset) == ENTRY
        assert await catalog.audit.last(*chain) == later


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


ASKS: dict[str, Callable[[Catalog], Awaitable[object]]] = {
    "policies": lambda catalog: catalog.policies.current(),
    "generations": lambda catalog: catalog.generations.register(1, ["t"], EMPTY),
    "audit": lambda catalog: catalog.audit.append([ENTRY]),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_server_that_is_away_is_told(ask: Callable[[Catalog], Awaitable[object]], closed_port: int) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{closed_port}/catalog"
    async with open_catalog(load(database_url=url, database_ssl="disable")) as catalog:
        with pytest.raises(TransientError, match="does not answer") as caught:
            await ask(catalog)
    assert "secret" not in str(caught.value)


async def test_a_server_that_says_nothing_is_waited_for_with_a_bound(silent_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(TransientError, match="does not answer"):
        await current(load(database_url=f"postgresql://me@127.0.0.1:{silent_port}/catalog", database_ssl="disable"))
    assert time.monotonic() - began < 15


@pytest.fixture
async def stranger_with_tls(tmp_path: Path) -> AsyncIterator[int]:
    """A port that agrees to TLS as PostgreSQL does, with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # the client hangs up: that is the test
            await writer.start_tls(context)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_that_is_not_trusted_is_refused(stranger_with_tls: int, mode: str) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{stranger_with_tls}/catalog"
    with pytest.raises(SetupError, match="certificate is not trusted") as caught:
        await current(load(database_url=url, database_ssl=mode))
    assert "secret" not in str(caught.value)


async def test_a_connection_that_is_cut_heals(settings: Settings, database: Database) -> None:
    async with open_catalog(settings) as catalog:
        before = await catalog.policies.current()
        await execute(
            database.dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert await catalog.policies.current() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"database_url": None}, "no catalog is set"),
        ({"database_url": "mysql://a:secret@b/c"}, "must start with postgresql://"),
        ({"database_url": "postgresql://a:secret@b/c?sslmode=require"}, "TLS is set by"),
        ({"database_url": "secret"}, "is not an address"),
        ({"database_ssl": "verify-full", "database_ca_file": "/nowhere"}, "DATABASE_CA_FILE"),
        ({"database_ssl": "require"}, "PostgreSQL"),
        ({"database_schema": "elsewhere"}, "run `cdc-masker db upgrade`"),
    ],
)
async def test_wrong_settings_are_named(database: Database, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CdcMaskerError, match=message) as caught:
        await current(load(**{"database_url": database.dsn, "database_ssl": "disable", **change}))
    assert "secret" not in str(caught.value)


async def test_wrong_logins_are_named(database: Database, settings: Settings, unique: Callable[[str], str]) -> None:
    stranger = unique("stranger")
    await execute(database.dsn, f"CREATE ROLE {stranger} LOGIN PASSWORD 'pw'")
    for address, message in (
        (database.dsn_of(stranger, "secret"), "refused the login"),
        (database.dsn_of("nobody_at_all", "secret"), "refused the login"),
        (database.dsn_of(stranger, "pw"), "cdc_masker_worker"),
        (replace(database, name="no_such_database").dsn, "no such database"),
    ):
        with pytest.raises(SetupError, match=message) as caught:
            await current(load(database_url=address, database_ssl="disable"))
        assert "secret" not in str(caught.value)


async def test_a_login_that_may_only_read_is_no_workers(
    database: Database, settings: Settings, unique: Callable[[str], str]
) -> None:
    reader = unique("reader")
    await execute(database.dsn, f"CREATE ROLE {reader} LOGIN PASSWORD 'pw' IN ROLE cdc_masker_auditor")
    async with open_catalog(load(database_url=database.dsn_of(reader, "pw"), database_ssl="disable")) as catalog:
        await catalog.audit.last(1, "topic-id", "topic", 0)
        with pytest.raises(SetupError, match="grant it the role cdc_masker_worker"):
            await catalog.audit.check()


def test_the_command_line(database: Database, policies: Path) -> None:
    environment = {**os.environ, "CDC_MASKER_DATABASE_URL": database.dsn, "CDC_MASKER_DATABASE_SSL": "disable"}

    def run(*arguments: str, code: int = 0) -> str:
        command = [str(Path(sys.executable).with_name("cdc-masker")), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    where = ("--policies", str(policies))
    assert "run `cdc-masker db upgrade`" in run("policy", "export", code=2)
    assert "catalog: none" in run("db", "check", *where, code=1)
    assert run("db", "upgrade", *where) == "catalog: catalog_0002 one\n"
    assert run("db", "current", *where) == "catalog: catalog_0002 one\n"
    assert run("db", "check", *where) == "catalog: catalog_0002 one\n"
    assert "--policies" in run("db", "check", code=2)

    document = json.loads(run("policy", "export"))
    assert document["version"] == 1
    assert [rule["column"] for rule in document["rules"]] == ["email", "id"]
    assert Policy.from_document(document).digest == document["digest"]
    assert json.loads(run("policy", "export", "--version", "1")) == document
    assert "version 2: is not in the catalog" in run("policy", "export", "--version", "2", code=2)

    (header,) = run("audit", "show").splitlines()

    async def fill() -> None:
        async with open_catalog(load(database_url=database.dsn, database_ssl="disable")) as catalog:
            nothing = dict.fromkeys(Fate, 0)
            lost = entry(topic="lost", counts=nothing, columns={}, root="", accepted=Acceptance("ann", "T-1"))
            await catalog.audit.append([ENTRY, entry(topic="other"), lost])

    asyncio.run(fill())
    assert run("audit", "show", "--topic", "lost").splitlines()[1].endswith("\taccepted as lost by ann")
    first, line = run("audit", "show", "--topic", ENTRY.topic).splitlines()
    assert first == header
    assert line.split("\t")[:5] == ["2023-11-14 22:13:20.123+00:00", ENTRY.topic, "1", "3", "0-9"]
    assert len(run("audit", "show", "--limit", "1").splitlines()) == 2
    shown = json.loads(run("audit", "show", "--json", "--topic", ENTRY.topic))
    assert json.loads(encode_entry(ENTRY)) == shown
