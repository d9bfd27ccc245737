"""Versions that are sealed and signed, as workers and people at the command line meet them on a real PostgreSQL and Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.errors import PolicyError, SetupError, UnverifiedError
from cdc_masker.keys.signing import new_signing_key, signed
from cdc_masker.policies import Policy
from cdc_masker.sealing import Signature, signed_message
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.integration.conftest import Deploy
from tests.integration.kit import until
from tests.migrations.kit import Revisions

pytestmark = pytest.mark.stack

# Texts that JSON writes in more than one way, and orders in which collations differ.
ODD = "".join(map(chr, range(1, 128))) + "é\u2028\U0001f4a5 \\u0041"
NO_GUARD = "DROP EVENT TRIGGER cdc_masker_guard_alter; DROP EVENT TRIGGER cdc_masker_guard_drop; "
"""Only a superuser may do that."""
NOT_APPEND_ONLY = NO_GUARD + "".join(
    f"ALTER TABLE cdc_masker.{table} DISABLE TRIGGER ALL; " for table in ("policy_version", "policy_rule", "policy_signature")
)


@pytest.fixture
def database(fresh_database: Callable[[str], Database]) -> Database:
    return fresh_database("sealed")


@pytest.fixture
def revisions(tmp_path: Path) -> Revisions:
    return Revisions(tmp_path / "policies")


@pytest.fixture
def settings(database: Database, revisions: Revisions) -> Settings:
    """A catalog with three versions."""
    revisions.directory.mkdir()
    said = [
        f"op.mask_column(('s', {table!r}), {column!r}, method='redact', reason={ODD!r}, ticket='T')"
        for table in ("b", "B", "_", "a b", "é")
        for column in ("x", "X", "ß", "x y")
    ]
    said += [f"op.mask_columns('s.*', {column!r}, method='redact', reason={ODD!r})" for column in ("x*", "X*", "_*")]
    revisions.write("one", None, "\n".join(said))
    revisions.write("two", "one", f"op.allow_weaker({ODD!r})\nop.forget_column(('s', 'b'), 'x')")
    revisions.write("three", "two", "op.use_key_epoch(2)")
    settings = load(database_url=database.dsn, database_ssl="disable")
    commands.upgrade(settings, revisions.directory)
    return settings


async def execute(database: Database, statements: str) -> None:
    connection = await asyncpg.connect(database.dsn, ssl=False)
    await connection.execute(statements)
    await connection.close()


async def current(settings: Settings, key_epoch: int | None = None) -> Policy:
    async with open_catalog(settings) as catalog:
        return await catalog.policies.current(key_epoch)


async def sign(settings: Settings, key: Path, version: int) -> None:
    async with open_catalog(settings) as catalog:
        policy, now = await catalog.policies.at(version), datetime.now(UTC)
        public, signature = signed(key, signed_message(policy.seal, now))
        await catalog.signatures.add(Signature(version, public, now, signature), policy.seal)


async def test_postgresql_and_python_compute_the_same_seals(settings: Settings) -> None:
    async with open_catalog(settings) as catalog:
        seals = {(await catalog.policies.at(version)).seal for version in (1, 2, 3)}
    assert len(seals) == 3
    assert all(len(seal) == len("sha256:") + 64 for seal in seals)


async def test_what_was_verified_is_what_later_looks_are_held_against(settings: Settings, database: Database) -> None:
    away = "DELETE FROM cdc_masker.policy_rule WHERE version = 3; DELETE FROM cdc_masker.policy_version WHERE version = 3; "
    both = ("version", "rule")
    keep = "".join(f"CREATE TABLE {each} AS SELECT * FROM cdc_masker.policy_{each} WHERE version = 3; " for each in both)
    back = "".join(f"INSERT INTO cdc_masker.policy_{each} SELECT * FROM {each}; " for each in both)
    async with open_catalog(settings) as catalog:
        newest = await catalog.policies.current()
        await execute(database, NOT_APPEND_ONLY + keep + away)
        assert (await current(settings)).version == 2  # nobody who starts now can tell
        with pytest.raises(UnverifiedError, match="version 3: is not what was verified before"):
            await catalog.policies.current()
        with pytest.raises(UnverifiedError):
            await catalog.policies.at(1)
        await execute(database, back)
        assert await catalog.policies.current() == newest


async def test_a_look_reads_only_what_is_new(settings: Settings, database: Database, revisions: Revisions) -> None:
    async with open_catalog(settings) as catalog:
        await catalog.policies.current()
        await execute(database, NOT_APPEND_ONLY + "UPDATE cdc_masker.policy_rule SET method = 'keep' WHERE version = 1")
        revisions.write("four", "three", "op.allow_header('trace')")
        await asyncio.to_thread(commands.upgrade, settings, revisions.directory)
        assert (await catalog.policies.current()).headers == ("trace",)
        with pytest.raises(UnverifiedError, match="version 1: its rows don't fit the digest"):
            await catalog.policies.at(1)
    with pytest.raises(UnverifiedError, match="version 1: its rows don't fit the digest"):
        await current(settings)


async def test_where_a_key_is_set_the_newest_signed_version_is_in_force(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, other = tmp_path / "key", tmp_path / "other"
    required = settings.model_copy(update={"policy_key_file": new_signing_key(key)})
    new_signing_key(other)
    for epoch in (None, 1, 2):
        with pytest.raises(PolicyError, match="no version that could be in force is signed"):
            await current(required, epoch)
    await sign(settings, other, 2)
    async with open_catalog(required) as catalog:
        with pytest.raises(PolicyError, match="is signed with the key in CDC_MASKER_POLICY_KEY_FILE"):
            await catalog.policies.current()
        await sign(settings, key, 2)
        assert (await catalog.policies.current()).version == 2
        assert (await catalog.policies.current()).version == 2
        assert caplog.messages == ["policy version 3 is not signed; version 2 is in force"]
        assert (await catalog.policies.newest()).version == 3
        assert (await catalog.policies.usable(2)).version == 2
        with pytest.raises(PolicyError, match="version 3: is not signed"):
            await catalog.policies.usable(3)
        with pytest.raises(PolicyError, match="signed"):
            await catalog.policies.current(2)
        await sign(settings, key, 3)
        assert (await catalog.policies.current(2)).version == 3
    with pytest.raises(SetupError, match="signed by that key already"):
        await sign(settings, key, 3)


async def test_a_signature_that_is_taken_out_is_noticed(settings: Settings, database: Database, tmp_path: Path) -> None:
    key = tmp_path / "key"
    new_signing_key(key)
    await sign(settings, key, 2)
    async with open_catalog(settings) as catalog:
        await catalog.policies.current()
        await sign(settings, key, 3)
        await execute(database, NOT_APPEND_ONLY + "DELETE FROM cdc_masker.policy_signature WHERE version = 2")
        with pytest.raises(UnverifiedError, match="version 2: has lost a signature"):
            await catalog.policies.current()


async def test_a_catalog_without_a_version_is_no_way_around_a_signature(database: Database, tmp_path: Path) -> None:
    settings = load(database_url=database.dsn, database_ssl="disable", policy_key_file=new_signing_key(tmp_path / "key"))
    await asyncio.to_thread(commands.upgrade, settings)
    with pytest.raises(PolicyError, match="no version that could be in force is signed"):
        await current(settings)


def test_a_file_without_a_public_key_is_refused(database: Database, tmp_path: Path) -> None:
    new_signing_key(tmp_path / "key")
    for path, message in ((tmp_path / "none", "can't be read"), (tmp_path / "key", "holds no Ed25519 public key")):
        with pytest.raises(SetupError, match=message):
            asyncio.run(current(load(database_url=database.dsn, policy_key_file=path)))


def test_the_command_line_signs_and_verifies(settings: Settings, database: Database, tmp_path: Path) -> None:
    environment = {**os.environ, "CDC_MASKER_DATABASE_URL": database.dsn, "CDC_MASKER_DATABASE_SSL": "disable"}

    def run(*arguments: str, code: int = 0, **more: str) -> str:
        command = [str(Path(sys.executable).with_name("cdc-masker")), *arguments]
        done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    seal = json.loads(run("policy", "export"))["seal"]
    assert run("policy", "verify").splitlines()[0] == f"3 versions verified, the newest with seal {seal}"
    for key in ("ours", "theirs"):
        assert f"{key}.pub: public key" in run("policy", "keygen", key)
    assert "is there already" in run("policy", "keygen", "ours", code=2)
    assert seal in run("policy", "sign", "--key", "ours")
    run("policy", "sign", "1", "--key", "theirs")
    run("policy", "sign", "2", "--key", "theirs")
    assert "chmod 600" in run("policy", "sign", "--key", "ours.pub", code=2)
    found = run("policy", "verify", "--key", "ours.pub", code=1).splitlines()
    assert found[:2] == [f"UNVERIFIED version {each}: is not signed with a key that is trusted" for each in (1, 2)]
    assert found == run("policy", "verify", code=1, CDC_MASKER_POLICY_KEY_FILE="ours.pub").splitlines()
    assert "3 signed with a key that is trusted" in run("policy", "verify", "--key", "ours.pub", "--key", "theirs.pub")
    told = run("policy", "export", CDC_MASKER_POLICY_KEY_FILE="theirs.pub").splitlines()
    assert (told[2], told[-1]) == ('  "version": 2,', "policy version 3 is not signed; version 2 is in force")
    assert run("db", "guard") == "catalog: guarded\n"


def test_a_worker_publishes_nothing_while_the_catalog_does_not_verify(deploy: Deploy, tmp_path: Path) -> None:
    deployment = deploy(policy_key_file=str(new_signing_key(tmp_path / "key")))
    assert deployment.run("policy", "sign", "--key", str(tmp_path / "key"))[0] == 0
    deployment.create(deployment.topic)
    worker = deployment.ready(deployment.start())
    deployment.produce(100)
    until(lambda: deployment.audited() == 100, 30)
    code, told, _ = deployment.run("policy", "verify", "--topic", "--json")
    assert (code, json.loads(told)["problems"]) == (0, [])
    seal = json.loads(told)["seal"]
    assert [entry.policy_seal for entry in deployment.audit()] == [seal] * len(deployment.audit())

    def sql(statements: str) -> None:
        deployment.stack.sql(statements, deployment.name)

    sql(NOT_APPEND_ONLY + "UPDATE cdc_masker.policy_version SET seal = 'sha256:00'")
    until(lambda: worker.metric("cdc_masker_partition_halted") == 1, 15)
    assert 'code="catalog"' in worker.page("metrics")[1]
    assert worker.page("ready") == (503, "the catalog does not verify\n")
    deployment.produce(100, first=100)
    code, told, _ = deployment.run("policy", "verify", "--topic")
    assert code == 1
    assert "UNVERIFIED version 1: does not fit its seal" in told
    refused = worker.metric("cdc_masker_policies_refused_total")
    until(lambda: worker.metric("cdc_masker_policies_refused_total") > refused + 2, 15)
    assert deployment.audited() == 100
    late = deployment.start()
    assert late.process.wait(60) == 2  # who starts now refuses
    assert "does not fit its seal" in late.log.read_text()

    sql(f"UPDATE cdc_masker.policy_version SET seal = '{seal}'")
    until(lambda: deployment.audited() == 200, 30)
    assert "masking goes on" in worker.log.read_text()
    assert deployment.run("policy", "verify", "--topic")[0] == 0
    assert worker.kill(signal.SIGTERM) == 0
