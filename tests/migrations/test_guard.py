"""What keeps released rows as they are: signers' rights, the guard over tables and triggers, and telling that it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.catalog.guarding import Condition
from cdc_masker.catalog.tables import is_partition
from cdc_masker.errors import SetupError
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import OFF, Revisions, query

pytestmark = pytest.mark.stack

SOUND = Condition((), (), (), (), (), True, True, True, True, True)
"""As a superuser sees it, but for the owners: other tests make some."""
LONG_AGO = "FOR VALUES FROM ('1999-01-01Z') TO ('1999-02-01Z')"
SIGN = (
    "SELECT cdc_masker.sign_policy({version}, (SELECT seal FROM cdc_masker.policy_version WHERE version = 1), 'k', now(), 's')"
)


@pytest.fixture
def released(settings: Settings, database: Database, revisions: Revisions) -> Database:
    commands.upgrade(settings, revisions.directory)
    return database


def condition(settings: Settings) -> Condition:
    return replace(_condition(settings), owners=())


def owners(settings: Settings) -> set[str]:
    return set(_condition(settings).owners)


def _condition(settings: Settings) -> Condition:
    async def read() -> Condition:
        async with open_catalog(settings) as catalog:
            return await catalog.guarding.condition()

    return asyncio.run(read())


def guard(settings: Settings) -> None:
    async def make() -> None:
        async with open_catalog(settings) as catalog:
            await catalog.guarding.make()

    asyncio.run(make())


def test_a_signer_reads_policies_and_signs_what_is_there(released: Database, login: Callable[[str], str]) -> None:
    signer = login("signer")
    query(signer, SIGN.format(version=1))
    assert query(signer, "SELECT version, key FROM cdc_masker.policy_signature") == [(1, b"k")]
    for statement, message in (
        (SIGN.format(version=1), "is signed by that key already"),
        (SIGN.format(version=2), "there is no policy version 2 with that seal"),
    ):
        with pytest.raises(asyncpg.RaiseError, match=message):
            query(signer, statement)
    for statement in (
        "INSERT INTO cdc_masker.policy_signature VALUES (2, 'k', now(), 's')",
        "SELECT cdc_masker.release_policy('{}', '', '')",
        "SELECT * FROM cdc_masker.audit_entry",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(signer, statement)


def test_nobody_else_signs(released: Database, login: Callable[[str], str]) -> None:
    for role in ("worker", "migrator", "auditor", "custodian"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(login(role), SIGN.format(version=1))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE cdc_masker.policy_rule DISABLE TRIGGER ALL",
        "ALTER TABLE cdc_masker.policy_rule ADD surprise int",
        "ALTER TABLE cdc_masker.policy_rule SET SCHEMA public",
        "ALTER TABLE cdc_masker.policy_rule RENAME TO other",
        "ALTER FUNCTION cdc_masker.refuse_change() SET SCHEMA public",
        "DROP TABLE cdc_masker.policy_signature",
        "DROP TRIGGER append_only ON cdc_masker.policy_rule",
        "ALTER TRIGGER append_only ON cdc_masker.policy_rule RENAME TO other",
        "CREATE TRIGGER other BEFORE INSERT ON cdc_masker.policy_rule FOR EACH ROW EXECUTE FUNCTION cdc_masker.refuse_change()",
        "CREATE RULE quietly AS ON INSERT TO cdc_masker.policy_rule DO INSTEAD NOTHING",
        "CREATE POLICY hidden ON cdc_masker.policy_rule USING (false)",
        "CREATE OR REPLACE FUNCTION cdc_masker.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
        "DROP FUNCTION cdc_masker.refuse_change() CASCADE",
        "ALTER FUNCTION cdc_masker.release_policy(json, text, text) SECURITY INVOKER",
        "CREATE TABLE cdc_masker.other ()",
        "ALTER SCHEMA cdc_masker RENAME TO other",
        "DROP SCHEMA cdc_masker CASCADE",
        "DROP OWNED BY cdc_masker_owner CASCADE",
        "ALTER TABLE cdc_masker.audit_entry DETACH PARTITION cdc_masker.audit_entry_default",
        "DROP TABLE cdc_masker.audit_entry_default",
        "ALTER TABLE cdc_masker.audit_entry_default SET SCHEMA public",
        "ALTER TABLE cdc_masker.audit_entry_default RENAME TO other",
        "ALTER TABLE cdc_masker.audit_entry_default DISABLE TRIGGER ALL",
        "DROP TRIGGER append_only_truncate ON cdc_masker.audit_entry_default",
        f"CREATE TABLE cdc_masker.audit_entry_1999_01 PARTITION OF cdc_masker.audit_entry {LONG_AGO}",
        f"CREATE TABLE public.part PARTITION OF cdc_masker.audit_entry {LONG_AGO}",
        f"CREATE SCHEMA another CREATE TABLE part PARTITION OF cdc_masker.audit_entry {LONG_AGO}",
        f"SELECT cdc_masker.make_audit_partition('audit_entry', 'part', $${LONG_AGO}$$)",
        "ALTER FUNCTION cdc_masker.retire_audit(json) SECURITY INVOKER",
    ],
)
def test_guarded_means_that_nobody_alters_or_drops(released: Database, statement: str) -> None:
    for become in ("SET ROLE cdc_masker_owner", "SET session_replication_role = replica"):
        with pytest.raises((asyncpg.RaiseError, asyncpg.InsufficientPrivilegeError)):
            query(released.dsn, become, statement)
    with pytest.raises(asyncpg.RaiseError, match="the catalog is guarded"):
        query(released.dsn, statement)


def test_the_guard_is_taken_away_by_a_superuser_only(released: Database) -> None:
    for statement in (
        "DROP EVENT TRIGGER cdc_masker_guard_drop",
        "ALTER EVENT TRIGGER cdc_masker_guard_alter DISABLE",
        "DROP FUNCTION cdc_masker_guard.refuse_drop() CASCADE",
        "DROP SCHEMA cdc_masker_guard CASCADE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(released.dsn, "SET ROLE cdc_masker_owner", statement)
    query(released.dsn, OFF, "ALTER TABLE cdc_masker.policy_rule ADD surprise int", "SELECT 1")


def test_the_guard_leaves_others_alone(released: Database, login: Callable[[str], str]) -> None:
    query(released.dsn, "GRANT CREATE ON SCHEMA public TO PUBLIC", "SELECT 1")
    query(login("worker"), "CREATE TABLE mine (id int)", "ALTER TABLE mine ADD name text", "DROP TABLE mine", "SELECT 1")
    query(
        released.dsn,
        "CREATE TABLE cdc_masker (id int)",
        "CREATE TEMP TABLE policy_rule AS TABLE cdc_masker.policy_rule",
        "CREATE PUBLICATION cdc_masker FOR TABLE cdc_masker.policy_rule",
        "DROP PUBLICATION cdc_masker",
        "ALTER TABLE cdc_masker ADD name text",
        "DROP TABLE cdc_masker",
        "COMMENT ON TABLE cdc_masker.policy_rule IS 'rules'",
        "REINDEX TABLE cdc_masker.policy_rule",
        "SELECT 1",
    )


def test_a_fresh_catalog_is_sound(released: Database, settings: Settings) -> None:
    assert condition(settings) == SOUND


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        ("ALTER TABLE ONLY cdc_masker.audit_entry DISABLE TRIGGER append_only", {"changeable": ("cdc_masker.audit_entry",)}),
        ("ALTER TABLE ONLY cdc_masker.audit_entry ENABLE TRIGGER append_only", {"changeable": ("cdc_masker.audit_entry",)}),
        (
            "ALTER TABLE cdc_masker.audit_note_default ENABLE REPLICA TRIGGER append_only; "
            "DROP TRIGGER append_only_truncate ON cdc_masker.audit_note_default",
            {"changeable": ("cdc_masker.audit_note_default",), "emptyable": ("cdc_masker.audit_note_default",)},
        ),
        ("DROP TRIGGER append_only_truncate ON cdc_masker.receipt", {"emptyable": ("cdc_masker.receipt",)}),
        (
            "DROP TRIGGER append_only ON cdc_masker.receipt; CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "
            "cdc_masker.receipt FOR EACH ROW WHEN (old.id < 0) EXECUTE FUNCTION cdc_masker.refuse_change(); "
            "ALTER TABLE cdc_masker.receipt ENABLE ALWAYS TRIGGER append_only",
            {"changeable": ("cdc_masker.receipt",)},
        ),
        (
            "CREATE TABLE cdc_masker.part () INHERITS (cdc_masker.policy_rule)",
            {"changeable": ("cdc_masker.part",), "emptyable": ("cdc_masker.part",), "strange": ("owner of part",)},
        ),
        (
            "GRANT TRUNCATE ON cdc_masker.policy_rule TO PUBLIC; GRANT INSERT ON cdc_masker.audit_entry TO cdc_masker_auditor",
            {"grants": (("PUBLIC", "TRUNCATE", "policy_rule"), ("cdc_masker_auditor", "INSERT", "audit_entry"))},
        ),
        (
            "GRANT INSERT (version, method) ON cdc_masker.policy_rule TO cdc_masker_auditor",
            {"grants": (("cdc_masker_auditor", "INSERT", "policy_rule"),)},
        ),
        (
            "GRANT EXECUTE ON FUNCTION cdc_masker.release_policy(json, text, text) TO cdc_masker_worker",
            {"grants": (("cdc_masker_worker", "EXECUTE", "release_policy"),)},
        ),
        (
            "GRANT DELETE ON cdc_masker.audit_entry_default TO cdc_masker_retention",
            {"grants": (("cdc_masker_retention", "DELETE", "audit_entry_default"),)},
        ),
        (
            "GRANT EXECUTE ON FUNCTION cdc_masker.retire_audit(json) TO cdc_masker_worker; "
            "GRANT EXECUTE ON FUNCTION cdc_masker_guard.make_audit_partitions() TO PUBLIC",
            {"grants": (("PUBLIC", "EXECUTE", "make_audit_partitions"), ("cdc_masker_worker", "EXECUTE", "retire_audit"))},
        ),
        (
            "GRANT UPDATE ON cdc_masker.generation, cdc_masker.erasure TO cdc_masker_worker; "
            "GRANT DELETE ON cdc_masker.subject_key TO cdc_masker_custodian",
            {
                "grants": (
                    ("cdc_masker_custodian", "DELETE", "subject_key"),
                    ("cdc_masker_worker", "UPDATE", "erasure"),
                    ("cdc_masker_worker", "UPDATE", "generation"),
                )
            },
        ),
        (
            "GRANT SELECT (wrapped) ON cdc_masker.subject_key TO cdc_masker_auditor; "
            "GRANT SELECT ON cdc_masker.subject_key TO cdc_masker_worker",
            {
                "grants": (
                    ("cdc_masker_auditor", "SELECT", "subject_key"),
                    ("cdc_masker_worker", "SELECT", "subject_key"),
                )
            },
        ),
        (
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA cdc_masker TO cdc_masker_signer; "
            "GRANT CREATE ON SCHEMA cdc_masker TO PUBLIC",
            {
                "grants": (
                    ("PUBLIC", "CREATE", "schema cdc_masker"),
                    *(
                        ("cdc_masker_signer", "EXECUTE", name)
                        for name in (
                            "begin_erasure",
                            "begin_replay",
                            "close_generation",
                            "complete_erasure",
                            "make_audit_partition",
                            "make_audit_partitions",
                            "misplaced_audit_months",
                            "missing_audit_partitions",
                            "policy_seal",
                            "record_cutovers",
                            "refuse_cancelled",
                            "refuse_change",
                            "release_policy",
                            "retire_audit",
                            "retire_generation",
                            "subject_keys",
                            "tell",
                            "tell_replay",
                            "worker_is_here",
                            "worker_leaves",
                            "write_receipt",
                        )
                    ),
                )
            },
        ),
        (
            "ALTER FUNCTION cdc_masker.release_policy(json, text, text) SECURITY INVOKER; "
            "ALTER FUNCTION cdc_masker.sign_policy RESET search_path; "
            "ALTER FUNCTION cdc_masker.write_receipt OWNER TO postgres; DROP FUNCTION cdc_masker.worker_leaves; "
            "CREATE OR REPLACE FUNCTION cdc_masker.tell() RETURNS trigger LANGUAGE plpgsql "
            "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
            {
                "strange": tuple(
                    f"function {name}" for name in ("release_policy", "sign_policy", "tell", "worker_leaves", "write_receipt")
                )
            },
        ),
        (
            "CREATE TRIGGER other BEFORE INSERT ON cdc_masker.policy_rule "
            "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); "
            "CREATE RULE quietly AS ON INSERT TO cdc_masker.audit_note DO INSTEAD NOTHING; "
            "ALTER TABLE cdc_masker.generation ENABLE ROW LEVEL SECURITY; ALTER TABLE cdc_masker.receipt OWNER TO postgres",
            {
                "strange": (
                    "owner of receipt",
                    "row security of generation",
                    "rule quietly on audit_note",
                    "trigger other on policy_rule",
                )
            },
        ),
    ],
)
def test_it_is_told_what_can_be_changed(released: Database, settings: Settings, statements: str, found: dict[str, Any]) -> None:
    query(released.dsn, OFF, statements, "SELECT 1")
    assert condition(settings) == replace(SOUND, guarded=False, **found)


def test_a_trigger_that_refuses_nothing_is_none(released: Database, settings: Settings) -> None:
    body = "CREATE OR REPLACE FUNCTION cdc_masker.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'"
    query(released.dsn, OFF, body, "SELECT 1")
    found = condition(settings)
    assert found.changeable == found.emptyable
    assert len([table for table in found.changeable if not is_partition(table.partition(".")[2])]) == 11
    assert found.strange == ("function refuse_change",)


def test_a_login_that_can_become_the_owner_is_told(released: Database, settings: Settings, login: Callable[[str], str]) -> None:
    member, inner = (urlsplit(login(role)).username or "" for role in ("owner", "worker"))
    assert member in owners(settings)
    assert inner not in owners(settings)
    query(released.dsn, f"GRANT {member} TO {inner}", "SELECT 1")
    assert {member, inner} <= owners(settings)
    assert "postgres" not in owners(settings)


@pytest.mark.parametrize("right", ["CREATEROLE", "SUPERUSER"])
def test_a_login_that_can_make_itself_the_owner_is_told(
    released: Database, settings: Settings, login: Callable[[str], str], right: str
) -> None:
    """PostgreSQL before 16 lets whoever may create roles grant any role but a superuser's, to himself as well."""
    able, through = (urlsplit(login("worker")).username or "" for _ in range(2))
    assert not {able, through} & owners(settings)
    query(released.dsn, f"ALTER ROLE {able} {right}", f"GRANT {able} TO {through}", "SELECT 1")
    assert through in owners(settings)
    assert (able in owners(settings)) == (right == "CREATEROLE"), "superusers are told of elsewhere"


def test_a_guard_can_be_made_later(released: Database, settings: Settings, login: Callable[[str], str]) -> None:
    query(released.dsn, "DROP EVENT TRIGGER cdc_masker_guard_alter", "DROP SCHEMA cdc_masker_guard CASCADE", "SELECT 1")
    assert not condition(settings).guarded
    with pytest.raises(SetupError, match="only a superuser can make the guard"):
        guard(load(database_url=login("owner"), database_ssl="disable"))
    guard(settings)
    guard(settings)
    assert condition(settings) == SOUND


def test_without_a_superuser_a_catalog_has_no_guard(database: Database, unique: Callable[[str], str]) -> None:
    name, schema = unique("admin"), unique("masking")
    query(
        database.dsn,
        f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'pw'",
        f"GRANT CREATE ON DATABASE {database.name} TO {name}",
        "SELECT 1",
    )
    settings = load(database_url=database.dsn_of(name, "pw"), database_ssl="disable", database_schema=schema)
    commands.upgrade(settings)
    assert condition(settings) == replace(
        SOUND, guarded=False, login_is_superuser=False, login_is_migrator=False, login_is_signer=False
    )
    assert query(database.dsn, f"SELECT to_regnamespace('{schema}_guard')") == [(None,)]
    commands.downgrade(settings, "base")


def test_a_worker_sees_what_it_is_not(released: Database, login: Callable[[str], str]) -> None:
    worker = load(database_url=login("worker"), database_ssl="disable")
    assert condition(worker) == Condition((), (), (), (), (), True, False, False, False, False)
