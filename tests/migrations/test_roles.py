"""Who may do what: rows that are append-only for everybody, and no role that may do more than its task."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from cdc_masker.catalog import commands
from cdc_masker.catalog.tables import APPEND_ONLY
from cdc_masker.errors import SetupError
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import Revisions, query

pytestmark = pytest.mark.stack

SUBJECTS = ("subject_key", "erasure", "erasure_subject", "erasure_offset", "worker_presence", "receipt")
READ_BY_WORKERS = ("policy_version", "policy_rule", "policy_signature", "generation", "audit_entry", "audit_note")
REPLAYS = ("replay", "replay_partition", "replay_event", "cutover")
TABLES = (*READ_BY_WORKERS, *SUBJECTS, *REPLAYS)
ASKED = """'[{{"place": 0, "domain": "d", "epoch": 1, "name": "{name}", "candidate": "ff", "renew": false}}]'"""
SUBJECT = """'[{{"domain": "d", "name": "{name}"}}]'"""
WORKER_ID = "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"
ENTRY = "(1, 'i', 't', 0, {offset}, {offset}, 1, 0, 0, 0, '[]', '{{}}', '', '', 0, '', '', null, 1, now(), '', '')"
NOTE = "(1, 'i', 't', 0, {offset}, {offset}, 0, 'quarantined', 'not_json', null, now())"


@pytest.fixture
def filled(settings: Settings, database: Database, revisions: Revisions) -> Database:
    """A catalog with a row in each table."""
    commands.upgrade(settings, revisions.directory)
    query(
        database.dsn,
        "INSERT INTO cdc_masker.policy_signature VALUES (1, 'k', now(), 's')",
        f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=0)}",
        f"INSERT INTO cdc_masker.audit_note VALUES {NOTE.format(offset=0)}",
        "INSERT INTO cdc_masker.generation VALUES ('t', 1, 'masked.t', 'live', 1, 1)",
        f"SELECT cdc_masker.subject_keys({ASKED.format(name='aa')}, 't', 'i', 0, 1)",
        f"SELECT cdc_masker.begin_erasure({SUBJECT.format(name='bb')}, 'why')",
        f"SELECT cdc_masker.subject_keys({ASKED.format(name='bb')}, 't', 'i', 0, 1)",
        f"SELECT cdc_masker.worker_is_here({WORKER_ID}, 'w', null, 60)",
        "SELECT cdc_masker.write_receipt('reveal', 'r', 'why', '{}')",
        "INSERT INTO cdc_masker.replay VALUES (2, 1, true, 't', 'why', now(), 'me')",
        "INSERT INTO cdc_masker.replay_partition VALUES (2, 't', 0, 'i', 0, 1)",
        "INSERT INTO cdc_masker.replay_event VALUES (default, now(), 'me', 2, 'pause', 'why')",
        "INSERT INTO cdc_masker.cutover VALUES ('t', 0, 2, 1, 0, 1, 1, now(), 'me')",
        "SELECT 1",
    )
    return database


def content(database: Database) -> list[object]:
    return [query(database.dsn, f"SELECT t::text FROM cdc_masker.{table} t ORDER BY 1") for table in TABLES]


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_rows_are_append_only_for_everybody(
    filled: Database, login: Callable[[str], str], settings: Settings, table: str
) -> None:
    before = content(filled)
    columns = {"policy_rule": "method", "policy_signature": "signature", "audit_entry": "worker", "erasure_subject": "domain"}
    columns |= {"replay_partition": "topic", "cutover": "login"}
    statements = (
        f"UPDATE cdc_masker.{table} SET {columns.get(table, 'reason')} = 'x'",
        f"DELETE FROM cdc_masker.{table}",
        f"TRUNCATE cdc_masker.{table} CASCADE",
    )
    for role in ("worker", "migrator", "signer", "auditor", "custodian", "operator"):
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                query(login(role), statement)
    for become in ("SET ROLE cdc_masker_owner", "SELECT 1", "SET session_replication_role = replica"):
        for statement in statements:
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                query(filled.dsn, become, statement)
    assert content(filled) == before


def test_the_worker_reads_policies_and_inserts_audit(filled: Database, login: Callable[[str], str]) -> None:
    worker = login("worker")
    for table in (*READ_BY_WORKERS, *REPLAYS):
        assert query(worker, f"SELECT count(*) > 0 FROM cdc_masker.{table}") == [(True,)]
    query(worker, f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=1)}")
    query(worker, f"INSERT INTO cdc_masker.audit_note VALUES {NOTE.format(offset=1)}")
    query(worker, "INSERT INTO cdc_masker.generation VALUES ('u', 1, 'masked.u', 'live', 1, 1)")
    for statement in (
        "INSERT INTO cdc_masker.policy_rule VALUES (1, '*', 's', 't', 'c', '', 'f', null, 'keep', '{}', 'f', 'f', 'f')",
        "SELECT cdc_masker.release_policy('{}', '', '')",
        "UPDATE cdc_masker.generation SET state = 'x'",
        "SELECT cdc_masker.tell_replay(2, 'cancel', 'why')",
        "CREATE TABLE cdc_masker.mine ()",
        "DELETE FROM cdc_masker.alembic_version",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(worker, statement)


def test_the_migrator_releases_policies_through_revisions_only(
    settings: Settings, database: Database, revisions: Revisions, login: Callable[[str], str]
) -> None:
    commands.upgrade(settings)
    migrator = login("migrator")
    commands.upgrade(load(database_url=migrator, database_ssl="disable"), revisions.directory)
    released = "SELECT version, created_by LIKE 'migrator%' FROM cdc_masker.policy_version ORDER BY version"
    assert query(database.dsn, released) == [(1, True), (2, True)]
    for statement in (
        "INSERT INTO cdc_masker.policy_rule VALUES (1, '*', 's', 't', 'c', '', 'f', null, 'keep', '{}', 'f', 'f', 'f')",
        "INSERT INTO cdc_masker.policy_version SELECT * FROM cdc_masker.policy_version",
        f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=1)}",
        "SELECT * FROM cdc_masker.audit_entry",
        "CREATE TABLE cdc_masker.mine ()",
        "ALTER TABLE cdc_masker.policy_rule DISABLE TRIGGER ALL",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(migrator, statement)


def test_the_worker_asks_for_keys_and_can_neither_list_nor_destroy_them(filled: Database, login: Callable[[str], str]) -> None:
    worker = login("worker")
    query(worker, f"SELECT cdc_masker.subject_keys({ASKED.format(name='cc')}, 't', 'i', 0, 1)")
    query(worker, f"SELECT cdc_masker.worker_is_here({WORKER_ID}, 'w', 0, 60)")
    query(worker, f"SELECT cdc_masker.worker_leaves({WORKER_ID})")
    for statement in (
        *(f"SELECT * FROM cdc_masker.{table}" for table in SUBJECTS),
        *(f"DELETE FROM cdc_masker.{table}" for table in SUBJECTS),
        "INSERT INTO cdc_masker.subject_key VALUES ('d', 1, 'x', 'y')",
        "UPDATE cdc_masker.subject_key SET wrapped = 'y'",
        f"SELECT cdc_masker.begin_erasure({SUBJECT.format(name='aa')}, 'why')",
        "SELECT cdc_masker.complete_erasure('{1}', '[]')",
        "SELECT cdc_masker.write_receipt('reveal', 'r', 'why', '{}')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(worker, statement)


def test_the_custodian_erases_through_the_functions_only(filled: Database, login: Callable[[str], str]) -> None:
    custodian = login("custodian")
    erasing = f"SELECT cdc_masker.begin_erasure({SUBJECT.format(name='aa')}, 'why')"
    assert query(custodian, erasing) == [([2],)]
    assert query(custodian, "SELECT cdc_masker.complete_erasure('{2}', '[]')") == [(False,)]  # the worker is there
    query(login("worker"), f"SELECT cdc_masker.worker_leaves({WORKER_ID})")
    assert query(custodian, "SELECT cdc_masker.complete_erasure('{2}', '[]')") == [(True,)]
    assert query(custodian, "SELECT encode(name, 'hex') FROM cdc_masker.subject_key") == []
    receipts = "SELECT kind, login LIKE 'custodian%', encode(subject, 'hex') FROM cdc_masker.receipt ORDER BY id DESC LIMIT 1"
    assert query(custodian, receipts) == [("erase", True, "aa")]
    for kind in ("erase", "weaken", "close", "cancel", "retire-generation"):
        with pytest.raises(asyncpg.RaiseError, match="written with what it is about"):
            query(custodian, f"SELECT cdc_masker.write_receipt('{kind}', 'd', 'why', '{{}}')")
    for statement in (
        *(f"DELETE FROM cdc_masker.{table}" for table in SUBJECTS),
        *(f"INSERT INTO cdc_masker.{table} OVERRIDING SYSTEM VALUE SELECT * FROM cdc_masker.{table}" for table in SUBJECTS),
        f"SELECT cdc_masker.subject_keys({ASKED.format(name='aa')}, 't', 'i', 0, 1)",
        f"SELECT cdc_masker.worker_leaves({WORKER_ID})",
        "SELECT cdc_masker.release_policy('{}', '', '')",
        "SELECT * FROM cdc_masker.audit_entry",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(custodian, statement)


def test_an_auditor_sees_whose_keys_there_are_and_no_key(filled: Database, login: Callable[[str], str]) -> None:
    auditor = login("auditor")
    assert query(auditor, "SELECT encode(name, 'hex') FROM cdc_masker.subject_key") == [("aa",)]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(auditor, "SELECT wrapped FROM cdc_masker.subject_key")


def test_the_auditor_only_reads(filled: Database, login: Callable[[str], str]) -> None:
    auditor = login("auditor")
    for table in (table for table in TABLES if table != "subject_key"):
        assert query(auditor, f"SELECT count(*) > 0 FROM cdc_masker.{table}") == [(True,)]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(auditor, f"INSERT INTO cdc_masker.{table} OVERRIDING SYSTEM VALUE SELECT * FROM cdc_masker.{table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(auditor, "SELECT cdc_masker.release_policy('{}', '', '')")


def test_the_owner_cannot_log_in_and_others_see_nothing(filled: Database, unique: Callable[[str], str]) -> None:
    can = query(filled.dsn, "SELECT rolname::text, rolcanlogin, rolsuper FROM pg_roles WHERE rolname ~ '^cdc_masker_'")
    assert sorted(can) == [
        (f"cdc_masker_{role}", False, False)
        for role in ("auditor", "custodian", "migrator", "operator", "owner", "retention", "signer", "worker")
    ]
    stranger = unique("stranger")
    query(filled.dsn, f"CREATE ROLE {stranger} LOGIN PASSWORD 'pw'", "SELECT 1")
    for statement in ("TABLE cdc_masker.policy_version", "SELECT cdc_masker.release_policy('{}', '', '')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(filled.dsn_of(stranger, "pw"), statement)


def test_an_administrator_need_not_be_a_superuser(
    database: Database, revisions: Revisions, unique: Callable[[str], str]
) -> None:
    name, schema = unique("admin"), unique("masking")
    query(
        database.dsn,
        f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'pw'",
        f"GRANT CREATE ON DATABASE {database.name} TO {name}",
        "SELECT 1",
    )
    settings = load(database_url=database.dsn_of(name, "pw"), database_ssl="disable", database_schema=schema)
    commands.upgrade(settings, revisions.directory)
    owners = f"SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = '{schema}'"
    assert query(database.dsn, owners) == [(f"{schema}_owner",)]


def test_a_login_without_rights_is_told_which_role_it_needs(
    settings: Settings, database: Database, unique: Callable[[str], str]
) -> None:
    name = unique("nobody")
    query(database.dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'pw'", "SELECT 1")
    with pytest.raises(SetupError, match="cdc_masker_owner for `cdc-masker db upgrade`"):
        commands.upgrade(load(database_url=database.dsn_of(name, "pw"), database_ssl="disable"))


def test_versions_follow_each_other(filled: Database) -> None:
    row = "({}, {}, '', '', '', 1, '[]', '[]', '[]', '[]', '', '[]', '', null, now(), '')"
    for version, parent in ((4, 2), (4, 3), (2, 1), (3, 1), (0, "null"), (3, "null")):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            query(filled.dsn, f"INSERT INTO cdc_masker.policy_version VALUES {row.format(version, parent)}")
