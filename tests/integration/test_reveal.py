"""The way back from masked values, on a real catalog: only with the root key, and only with a receipt."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.kafka.subjects import SubjectKeys
from cdc_masker.keys import FileKeys
from cdc_masker.pipeline import Masker
from cdc_masker.settings import load
from cdc_masker.stack import Database
from cdc_masker.subjects import Log, SubjectCipher
from tests.migrations.kit import Revisions, query
from tests.unit.building import TOPIC, change, payload, record

pytestmark = pytest.mark.stack

POLICY = """
op.declare_domain("people", per_subject=True)
op.mask_column("crm.people", "email", method="encrypt", type="text")
op.mask_column("crm.people", "number", method="tokenize", type="int8")
op.mask_column("crm.people", "note", method="encrypt", type="text", domain="people", subject="id")
op.mask_column("crm.people", "name", method="tokenize", type="text")
op.keep_column("crm.people", "id", reason="a number that we made up")
"""
ROW = {"id": 7, "email": "ann@example.org", "number": 4711, "note": "likes cats", "name": "Ann"}


@dataclass
class Office:
    """A catalog, a key file, what a worker made of one row, and logins."""

    home: Path
    database: Database
    masked: dict[str, Any]
    logins: dict[str, str]

    def run(self, *arguments: str, typed: str = "", login: str = "custodian", code: int = 0, **settings: str) -> str:
        """Runs a command and gives its standard output, or the error if it is to fail."""
        environment = {
            **os.environ,
            "CDC_MASKER_DATABASE_URL": self.logins[login],
            "CDC_MASKER_DATABASE_SSL": "disable",
            **settings,
        }
        program = Path(sys.executable).with_name("cdc-masker")
        command = [str(program), *arguments]
        done = subprocess.run(command, input=typed, env=environment, cwd=self.home, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        if code:
            assert done.stdout == ""
            return done.stderr
        return done.stdout

    def reveal(self, column: str, *more: str, keys: str = "keys.json", **options: Any) -> str:
        value = options.pop("value", None) or str(self.masked[column])
        arguments = ("reveal", "crm.people", column, "-", "--keys", keys, "--reason", "ticket 7", *more)
        return self.run(*arguments, typed=f"{value}\n", **options)

    def receipts(self) -> list[dict[str, Any]]:
        lines = self.run("audit", "receipts", "--kind", "reveal", "--json", login="auditor").splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def office(
    fresh_database: Callable[[str], Database], unique: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Office:
    monkeypatch.chdir(tmp_path)
    database = fresh_database("reveal")
    settings = load(database_url=database.dsn, database_ssl="disable")
    revisions = Revisions(tmp_path)
    revisions.write("one", None, POLICY)
    commands.upgrade(settings, tmp_path)
    logins = {"nobody": "postgresql://nobody@127.0.0.1:1/none"}
    for role in ("worker", "custodian", "auditor"):
        login = unique(role)
        query(database.dsn, f"CREATE ROLE {login} LOGIN PASSWORD 'pw' IN ROLE cdc_masker_{role}", "SELECT 1")
        logins[role] = database.dsn_of(login, "pw")
    made = Office(tmp_path, database, {}, logins)
    made.run("keys", "new", "keys.json")
    made.run("keys", "derive", "bundle.json", "--keys", "keys.json")

    async def mask() -> dict[str, Any]:
        keys = FileKeys(tmp_path / "bundle.json").load()  # what a worker has
        async with open_catalog(settings) as catalog:
            masker = Masker(await catalog.policies.current(), keys)
            with SubjectKeys(settings, catalog.subjects, keys).batch(1, Log(TOPIC, "id", 2), 100) as batch:
                ((_, _, value, _),) = (await batch.mask(masker, [record(change("c", after=ROW))])).rows
        row: dict[str, Any] = payload(value)["after"]
        return row

    made.masked = asyncio.run(mask())
    assert not any(made.masked[column] in (None, ROW[column]) for column in ROW if column != "id")
    return made


def test_what_was_encrypted_comes_back_and_is_on_record(office: Office) -> None:
    assert office.reveal("email") == "ann@example.org\n"
    assert office.reveal("number") == "4711\n"
    newest, first = office.receipts()
    assert (first["about"], first["reason"], first["detail"]["policy_version"]) == ("crm.people.email", "ticket 7", 1)
    assert newest["about"] == "crm.people.number"
    assert newest["login"].startswith("custodian")
    receipts = json.dumps([first, newest])
    for value in ("ann@example.org", "4711", office.masked["email"], str(office.masked["number"])):
        assert value not in receipts


def test_values_of_a_subject_need_the_subject(office: Office) -> None:
    assert "name the subject" in office.reveal("note", code=2)
    # There is no terminal, so what getpass asks for comes from the standard input, too.
    # What is encrypted may begin with a hyphen, and is no option then.
    arguments = (
        "reveal",
        "--subject",
        "--keys",
        "keys.json",
        "--reason",
        "r",
        "--",
        "crm.people",
        "note",
        office.masked["note"],
    )
    assert office.run(*arguments, typed="7\n").endswith("likes cats\n")
    assert "has no key in domain people" in office.run(*arguments, typed="8\n", code=2)
    name = SubjectCipher(FileKeys(office.home / "keys.json").load(), "people", 1).name("7").digest.hex()
    asked = json.dumps([{"domain": "people", "name": name}])
    query(
        office.database.dsn,
        f"SELECT cdc_masker.begin_erasure('{asked}', 'why')",
        "SELECT cdc_masker.complete_erasure('{1}', '[]')",
        "SELECT 1",
    )
    assert "it was erased" in office.run(*arguments, typed="7\n", code=2)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("email", {"keys": "bundle.json"}, "no root key of epoch 1"),
    ("email", {"keys": "other.json"}, "was not masked with this key"),
    ("email", {"login": "worker"}, "lacks a privilege"),
    ("email", {"login": "auditor"}, "lacks a privilege"),
    ("email", {"login": "nobody"}, "PostgreSQL does not answer"),
    ("email", {"value": "canary-value"}, "was not masked with this key"),
    ("name", {}, "can't be turned back"),
    ("id", {}, "can't be turned back"),
    ("birthday", {"value": "1"}, "no rule decides"),
]


def test_what_can_not_be_on_record_or_turned_back_is_not_shown(office: Office) -> None:
    office.run("keys", "new", "other.json")
    for column, options, message in REFUSED:
        refusal = office.reveal(column, code=2, **options)
        assert message in refusal
        assert "canary" not in refusal
        assert "ann@" not in refusal
    assert office.receipts() == []
