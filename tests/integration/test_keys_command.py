"""`cdc-masker keys` with a real catalog: bundles for what is in force, and a key that only a custodian can end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.keys import FileKeys, needed, new_keyring, write
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import Revisions, query

pytestmark = pytest.mark.stack

PROGRAM = Path(sys.executable).parent / "cdc-masker"
TOKENS = """
    op.declare_domain("whom", per_subject=True)
    op.mask_column("crm.customers", "email", method="tokenize", type="text", domain="email")
"""


@pytest.fixture
def database(fresh_database: Callable[[str], Database]) -> Database:
    return fresh_database("keys")


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """A catalog in which version 1 is of epoch 1, and a key file."""
    write(new_keyring(), tmp_path / "keys.json")
    settings = load(database_url=database.dsn, database_ssl="disable", keys_file=tmp_path / "keys.json")
    release(settings, tmp_path, "one", None, TOKENS)
    return settings


def release(settings: Settings, home: Path, revision: str, after: str | None, said: str) -> None:
    (home / "policies").mkdir(exist_ok=True)
    Revisions(home / "policies").write(revision, after, said)
    commands.upgrade(settings, home / "policies")


def run(settings: Settings, dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {
        "CDC_MASKER_DATABASE_URL": dsn,
        "CDC_MASKER_DATABASE_SSL": "disable",
        "CDC_MASKER_KEYS_FILE": str(settings.keys_file),
    }
    assert settings.keys_file is not None
    return subprocess.run(
        [str(PROGRAM), "keys", *arguments],
        env={**os.environ, **ours},
        cwd=settings.keys_file.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def begin(settings: Settings) -> None:
    """A worker of generation 1 begins to mask a topic under what is in force."""

    async def register() -> None:
        async with open_catalog(settings) as catalog:
            await catalog.generations.register(1, ["shop.crm.customers"], await catalog.policies.current())

    asyncio.run(register())


def test_a_key_lives_until_nothing_uses_it_and_its_end_is_on_record(
    settings: Settings, database: Database, unique: Callable[[str], str], tmp_path: Path
) -> None:
    custodian, worker = (unique(role) for role in ("custodian", "worker"))
    for role, group in ((custodian, "custodian"), (worker, "worker")):
        query(database.dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'pw' IN ROLE {settings.database_schema}_{group}", "SELECT 1")
    keeper = database.dsn_of(custodian, "pw")
    begin(settings)
    assert settings.keys_file is not None

    assert run(settings, keeper, "rotate", "keys.json").returncode == 0
    destroy = ("destroy", "keys.json", "1", "--reason", "the first generation is gone", "--yes")
    assert "which is in force, uses keys of epoch 1" in run(settings, keeper, *destroy).stderr

    release(settings, tmp_path, "two", "one", "op.use_key_epoch(2)")
    former = "VALUES ('former', 2, decode(repeat('00', 32), 'hex'), '\\x00')"
    query(database.dsn, f"INSERT INTO {settings.database_schema}.subject_key {former}", "SELECT 1")
    assert "generation 1 of topic shop.crm.customers is live" in run(settings, keeper, *destroy).stderr
    derived = run(settings, keeper, "derive", "bundle.json")
    assert derived.returncode == 0, derived.stderr
    assert list(FileKeys(tmp_path / "bundle.json").load().ids()) == [1, 2]

    query(database.dsn, f"UPDATE {settings.database_schema}.generation SET state = 'retired'", "SELECT 1")
    refused = run(settings, database.dsn_of(worker, "pw"), *destroy)
    assert refused.returncode == 2
    assert list(FileKeys(settings.keys_file).load().ids()) == [1, 2]

    name = FileKeys(settings.keys_file).load().ids()[1]
    ended = run(settings, keeper, *destroy)
    assert ended.returncode == 0, ended.stderr
    ((login, about, reason, detail),) = query(
        database.dsn, f"SELECT login, about, reason, detail FROM {settings.database_schema}.receipt WHERE kind = 'destroy'"
    )
    assert (login, about, reason) == (custodian, name, "the first generation is gone")
    assert json.loads(detail) == {"epoch": 1}
    first, second = json.loads(run(settings, keeper, "list", "--json").stdout)
    # Subjects of a domain that no rule is in any more have keys still, and may want them erased.
    assert first["derived"] == [{"method": "subject.name", "domain": domain} for domain in ("former", "whom")]
    assert second["kind"] == "root"
    # A worker of the second generation still has all it needs.
    policy = asyncio.run(_in_force(settings))
    for purpose in needed(policy):
        FileKeys(settings.keys_file).load().derive(purpose.method, purpose.domain, purpose.epoch)


async def _in_force(settings: Settings) -> Policy:
    async with open_catalog(settings) as catalog:
        return await catalog.policies.current()
