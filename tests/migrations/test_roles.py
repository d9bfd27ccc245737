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

TABLES = (*APPEND_ONLY, "generation")
ENTRY = "(1, 'i', 't', 0, {offset}, {offset}, 1, 0, 0, 0, 0, '', 1, now(), '', '')"
NOTE = "(1, 'i', 't', 0, {offset}, {offset}, 0, 'not_json')"


@pytest.fixture
def login(database: Database, settings: Settings, unique: Callable[[str], str]) -> Callable[[str], str]:
    """Makes a login role with one of the catalog's roles, and gives its address."""

    def make(role: str) -> str:
        name = unique(role)
        query(
            database.dsn,
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw' IN ROLE {settings.database_schema}_{role}",
            "SELECT 1",
        )
        return database.dsn_of(name, "pw")

    return make


@pytest.fixture
def filled(settings: Settings, database: Database, revisions: Revisions) -> Database:
    """A catalog with a row in each table."""
    commands.upgrade(settings, revisions.directory)
    query(
        database.dsn,
        f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=0)}",
        f"INSERT INTO cdc_masker.audit_quarantine VALUES {NOTE.format(offset=0)}",
        "INSERT INTO cdc_masker.generation VALUES ('t', 1, 'masked.t', 'live', 1, 1)",
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
    columns = {"policy_version": "reason", "policy_rule": "method", "audit_quarantine": "reason"}
    statements = (
        f"UPDATE cdc_masker.{table} SET {columns.get(table, 'worker')} = 'x'",
        f"DELETE FROM cdc_masker.{table}",
        f"TRUNCATE cdc_masker.{table} CASCADE",
    )
    for role in ("worker", "migrator", "auditor"):
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
    for table in TABLES:
        assert query(worker, f"SELECT count(*) > 0 FROM cdc_masker.{table}") == [(True,)]
    query(worker, f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=1)}")
    query(worker, f"INSERT INTO cdc_masker.audit_quarantine VALUES {NOTE.format(offset=1)}")
    query(worker, "INSERT INTO cdc_masker.generation VALUES ('u', 1, 'masked.u', 'live', 1, 1)")
    for statement in (
        "INSERT INTO cdc_masker.policy_rule VALUES (1, '*', 's', 't', 'c', '', null, 'keep', '{}', 'f', 'f', 'f', null, null)",
        "SELECT cdc_masker.release_policy('{}', '', '')",
        "UPDATE cdc_masker.generation SET state = 'x'",
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
        "INSERT INTO cdc_masker.policy_rule VALUES (1, '*', 's', 't', 'c', '', null, 'keep', '{}', 'f', 'f', 'f', null, null)",
        "INSERT INTO cdc_masker.policy_version SELECT * FROM cdc_masker.policy_version",
        f"INSERT INTO cdc_masker.audit_entry VALUES {ENTRY.format(offset=1)}",
        "SELECT * FROM cdc_masker.audit_entry",
        "CREATE TABLE cdc_masker.mine ()",
        "ALTER TABLE cdc_masker.policy_rule DISABLE TRIGGER ALL",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(migrator, statement)


def test_the_auditor_only_reads(filled: Database, login: Callable[[str], str]) -> None:
    auditor = login("auditor")
    for table in TABLES:
        assert query(auditor, f"SELECT count(*) > 0 FROM cdc_masker.{table}") == [(True,)]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(auditor, f"INSERT INTO cdc_masker.{table} SELECT * FROM cdc_masker.{table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(auditor, "SELECT cdc_masker.release_policy('{}', '', '')")


def test_the_owner_cannot_log_in_and_others_see_nothing(filled: Database, unique: Callable[[str], str]) -> None:
    can = query(filled.dsn, "SELECT rolname::text, rolcanlogin, rolsuper FROM pg_roles WHERE rolname ~ '^cdc_masker_'")
    assert sorted(can) == [(f"cdc_masker_{role}", False, False) for role in ("auditor", "migrator", "owner", "worker")]
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
    row = "({}, {}, '', '', 1, '[]', '[]', '[]', '[]', '', '[]', '', now(), '')"
    for version, parent in ((4, 2), (4, 3), (2, 1), (3, 1), (0, "null"), (3, "null")):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            query(filled.dsn, f"INSERT INTO cdc_masker.policy_version VALUES {row.format(version, parent)}")
