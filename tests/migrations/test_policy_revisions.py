"""Policy revisions on a real PostgreSQL: what a version holds, going back, scripts, and everything that is refused."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.errors import CdcMaskerError, PolicyError, SetupError
from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule, TableDefault
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import Revisions, execute, query

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "migrations"
VERSIONS = "SELECT version, parent, revision, heads, reason FROM cdc_masker.policy_version ORDER BY version"

KEEP = Rule(
    schema="Crm",
    table="Type Zoo",
    column="It's",
    method="keep",
    reason="100% harmless: \\ ; \t $$ ünï 💥 :bind %(bind)s",
)


def current(settings: Settings) -> Policy:
    async def read() -> Policy:
        async with open_catalog(settings) as catalog:
            return await catalog.policies.current()

    return asyncio.run(read())


def at(settings: Settings, version: int) -> Policy:
    async def read() -> Policy:
        async with open_catalog(settings) as catalog:
            return await catalog.policies.at(version)

    return asyncio.run(read())


def test_each_revision_makes_one_version(settings: Settings, database: Database, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    assert query(database.dsn, VERSIONS) == [
        (1, None, "one", '["one"]', "Revision one"),
        (2, 1, "two", '["two"]', "Revision two"),
    ]
    first, second = at(settings, 1), current(settings)
    assert KEEP in first.rules
    assert first.headers == ("trace",)
    routed = EnvelopeShape(
        topic="routed", shape="flattened", schema="crm", table="customers", reason='a "router"', ticket="T-1"
    )
    signals = EnvelopeShape(topic="before", shape="signals", ticket="ünï")
    assert first.envelopes == second.envelopes == (signals, routed)
    stated = TableDefault(server="shop", schema="crm", table="old", default="drop", reason="nobody reads it")
    assert first.tables == (TableDefault(schema="crm", table="older", default="quarantine"), stated)
    assert [rule.column for rule in second.rules] == ["email"]
    assert second.domains == first.domains
    assert second.version == 2
    stored = query(database.dsn, "SELECT digest FROM cdc_masker.policy_version ORDER BY version")
    assert stored == [(first.digest,), (second.digest,)]
    assert asyncio.run(commands.position(settings, revisions.directory)).at_head


def test_going_back_releases_the_old_content_as_a_new_version(
    settings: Settings, database: Database, revisions: Revisions
) -> None:
    commands.upgrade(settings, revisions.directory)
    commands.downgrade(settings, "policy@one", revisions.directory, "a test")
    assert current(settings).digest == at(settings, 1).digest
    commands.downgrade(settings, "policy@base", revisions.directory, "a test")
    assert current(settings).rules == ()
    commands.upgrade(settings, revisions.directory)
    assert current(settings).digest == at(settings, 2).digest
    assert [row[:4] for row in query(database.dsn, VERSIONS)][2:] == [
        (3, 2, "two", '["one"]'),
        (4, 3, "one", "[]"),
        (5, 4, "one", '["one"]'),
        (6, 5, "two", '["two"]'),
    ]


def test_a_script_releases_the_same_versions(
    settings: Settings, database: Database, revisions: Revisions, fresh_database: Callable[[str], Database]
) -> None:
    commands.upgrade(settings, revisions.directory)
    script = io.StringIO()
    commands.write_sql(settings, script, revisions.directory)
    offline = fresh_database("offline")
    execute(offline.dsn, script.getvalue())
    for table, order in (("policy_version", "version"), ("policy_rule", "version, column_name"), ("alembic_version", "1")):
        content = f"SELECT (to_jsonb(t) - 'created_at' - 'seal')::text FROM cdc_masker.{table} t ORDER BY {order}"
        assert query(offline.dsn, content) == query(database.dsn, content)
    assert current(load(database_url=offline.dsn, database_ssl="disable")).document() == current(settings).document()
    with pytest.raises(Exception, match="already exists"):
        execute(offline.dsn, script.getvalue())


def test_parts_of_a_column_come_back_as_they_were_released(settings: Settings, revisions: Revisions) -> None:
    revisions.write(
        "three",
        "two",
        """
        op.mask_column("crm.customers", "profile", path="$.contact.email", method="tokenize", domain="email")
        op.keep_column("crm.customers", "profile", path="$.theme", reason="a colour")
        """,
    )
    revisions.write("four", "three", "op.forget_column('crm.customers', 'profile', path='$.theme')")
    commands.upgrade(settings, revisions.directory)
    assert [rule.path for rule in at(settings, 3).rules if rule.column == "profile"] == ["$.contact.email", "$.theme"]
    assert [rule.path for rule in current(settings).rules if rule.column == "profile"] == ["$.contact.email"]


def test_what_a_rule_accepts_and_the_epoch_come_back_as_they_were_released(settings: Settings, revisions: Revisions) -> None:
    revisions.write(
        "three",
        "two",
        """
        op.use_key_epoch(2)
        op.declare_domain("city", type="text", fold_case=True, per_subject=True)
        op.mask_column("a.b", "c", method="tokenize", type="text", strict=True, reason="a test")
        op.mask_column("a.b", "d", method="tokenize", type="text", allow_small_domain=True, reason="few, and known")
        op.mask_column("a.b", "e", method="redact", type="text", allow_uniqueness_loss=True, reason="a log")
        op.drop_column("a.b", "f", reason="nobody needs it")
        op.drop_column("a.b", "g", server="shop")
        """,
    )
    commands.upgrade(settings, revisions.directory)
    policy = current(settings)
    assert (at(settings, 2).key_epoch, policy.key_epoch) == (1, 2)
    assert Domain(name="city", type="text", fold_case=True, per_subject=True) in policy.domains
    rules = {rule.column: rule for rule in policy.rules if rule.schema == "a"}
    accepted = {column: (rule.strict, rule.allow_small_domain, rule.allow_uniqueness_loss) for column, rule in rules.items()}
    assert accepted == {
        "c": (True, False, False),
        "d": (False, True, False),
        "e": (False, False, True),
        "f": (False, False, False),
        "g": (False, False, False),
    }
    assert (rules["f"].method, rules["f"].reason) == ("drop", "nobody needs it")
    assert (rules["g"].method, rules["g"].server, rules["g"].reason) == ("drop", "shop", None)

    commands.downgrade(settings, "policy@two", revisions.directory, "a test")
    assert current(settings).key_epoch == 1


def test_numbers_keep_their_value(settings: Settings, revisions: Revisions) -> None:
    params = {"value": 1e300}
    revisions.write("three", "two", f"op.mask_column('a.b', 'c', method='fixed', params={params!r})")
    commands.upgrade(settings, revisions.directory)
    assert [rule.params for rule in current(settings).rules if rule.schema == "a"] == [params]


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "message"),
    [
        ("op.mask_column('a.b', 'c', method='rot13')", "pass", r"rule a\.b\.c: .*rot13"),
        ("op.mask_column('a.b', 'c', method='truncate', lenght=3)", "pass", r"rule a\.b\.c"),
        ("op.default_table('a.b', 'drop', why='x')", "pass", r"revision three: upgrade\(\) fails with TypeError in line"),
        ("op.forget_column('a.b', 'c')", "pass", r"forget_column a\.b\.c"),
        ("op.forbid_header('nope')", "pass", "forbid_header nope"),
        ("op.keep_column('a.b', 'c', reason=' ')", "pass", "give a reason"),
        ("op.mask_column('A.b', 'c', method='null')", "pass", "double quotes"),
        ("op.mask_column('a.b', 'c', method='null', allow_small_domain=True)", "pass", "need a reason"),
        ("op.mask_column('a.b', 'c', method='null', allow_uniqueness_loss=True, reason=' ')", "pass", "need a reason"),
        ("op.use_key_epoch(0)", "pass", "counted from 1"),
        ("op.use_key_epoch(1)", "pass", "in force already"),
        ("op.mask_column('a.b', 'c', method='fixed', value=1, params={'value': 2})", "pass", "value stands twice"),
        ("op.execute('SELECT 1')", "pass", "holds other operations"),
        (
            "op.mask_column('a.b', 'c', method='null', reason=str(id(op.get_context())))",
            "pass",
            r"must say the same each time",
        ),
    ],
)
def test_a_revision_that_is_wrong_changes_nothing(
    settings: Settings, database: Database, revisions: Revisions, upgrade: str, downgrade: str, message: str
) -> None:
    commands.upgrade(settings, revisions.directory)
    revisions.write("three", "two", upgrade, downgrade)
    with pytest.raises(PolicyError, match=message):
        commands.upgrade(settings, revisions.directory)
    assert len(query(database.dsn, VERSIONS)) == 2
    assert query(database.dsn, "SELECT version_num FROM cdc_masker.alembic_version ORDER BY 1") == [("catalog_0002",), ("two",)]


def test_a_downgrade_that_says_something_is_refused(settings: Settings, revisions: Revisions) -> None:
    revisions.write("three", "two", "op.allow_header('x')", downgrade="op.forbid_header('x')")
    commands.upgrade(settings, revisions.directory)
    with pytest.raises(PolicyError, match=r"downgrade\(\) nothing"):
        commands.downgrade(settings, "policy@two", revisions.directory, "a test")


def test_a_revision_off_the_branch_is_refused(settings: Settings, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    revisions.write("other", None, "op.allow_header('x')", label="elsewhere")
    with pytest.raises(PolicyError, match="is not on branch policy"):
        commands.upgrade(settings, revisions.directory)


def test_an_edited_revision_stops_the_next_release(settings: Settings, database: Database, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    revisions.write("one", None, "op.keep_column(('Crm', 'Type Zoo'), \"It's\", reason='quietly')")
    revisions.write("three", "two", "op.allow_header('x')")
    with pytest.raises(SetupError, match="change a policy in a new revision only"):
        commands.upgrade(settings, revisions.directory)
    assert len(query(database.dsn, VERSIONS)) == 2


def test_two_heads_are_refused_until_they_are_merged(settings: Settings, revisions: Revisions) -> None:
    revisions.write("left", "two", "op.mask_column('a.b', 'c', method='null')")
    revisions.write("right", "two", "op.mask_column('a.b', 'd', method='null')")
    commands.upgrade(settings, revisions.directory)
    with pytest.raises(PolicyError, match="left, right; merge them"):
        current(settings)
    revisions.write("both", ("left", "right"), "pass")
    commands.upgrade(settings, revisions.directory)
    policy = current(settings)
    assert policy.version == 5
    assert [rule.column for rule in policy.rules if rule.schema == "a"] == ["c", "d"]


def test_a_directory_that_is_needed_is_asked_for(settings: Settings, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    for act in (commands.upgrade, lambda settings: asyncio.run(commands.position(settings))):
        with pytest.raises(SetupError, match="--policies"):
            act(settings)
    with pytest.raises(SetupError, match="is not a directory"):
        commands.upgrade(settings, revisions.directory / "nowhere")


def test_policies_wait_for_the_newest_tables(settings: Settings, revisions: Revisions, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    Revisions(newer).write("newer_tables", "catalog_0002", "op.execute('SELECT 1')", weaker=None)
    alembic = Alembic(settings, tmp_path, revisions.directory, newer)
    assert "`alembic upgrade catalog@head` first" in alembic("upgrade", "policy@one", fails=True)
    alembic("upgrade", "catalog@head")
    alembic("upgrade", "heads")
    assert current(settings).version == 2


def test_newer_tables_come_under_older_policies(settings: Settings, revisions: Revisions, tmp_path: Path) -> None:
    commands.upgrade(settings, revisions.directory)
    newer = tmp_path / "newer"
    newer.mkdir()
    Revisions(newer).write("newer_tables", "catalog_0002", "op.execute('SELECT 1')", weaker=None)
    revisions.write("three", "two", "op.allow_header('x')")
    alembic = Alembic(settings, tmp_path, revisions.directory, newer)
    alembic("upgrade", "catalog@head")
    assert current(settings).version == 2
    alembic("upgrade", "heads")
    assert current(settings).headers == ("trace", "x")


def test_a_repository_of_its_own_needs_four_lines(settings: Settings, database: Database, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    alembic = Alembic(settings, tmp_path, versions)
    start = ("--head", "base", "--branch-label", "policy", "--depends-on", "catalog")
    alembic("revision", "-m", "start", "--rev-id", "start", "--version-path", str(versions), *start)
    alembic("upgrade", "heads")
    alembic("revision", "-m", "next", "--rev-id", "next", "--head", "policy@head")
    alembic("upgrade", "heads")
    assert [row[2] for row in query(database.dsn, VERSIONS)] == ["start", "next"]
    script = alembic("upgrade", "start:next", "--sql")
    assert script.count("release_policy(") == 1
    assert json.dumps("next") in script
    assert "can't be stamped" in alembic("stamp", "start", fails=True)
    alembic("downgrade", "policy@-1")
    assert len(query(database.dsn, VERSIONS)) == 3


class Alembic:
    """Alembic's own command line in a user's repository."""

    def __init__(self, settings: Settings, home: Path, *directories: Path) -> None:
        assert settings.database_url
        self._home = home
        self._environment = {
            **os.environ,
            "CDC_MASKER_DATABASE_URL": settings.database_url.get_secret_value(),
            "CDC_MASKER_DATABASE_SSL": "disable",
        }
        locations = "\n  ".join(str(each) for each in (CATALOG / "versions", *directories))
        (home / "alembic.ini").write_text(
            f"[alembic]\nscript_location = {CATALOG}\npath_separator = newline\nversion_locations =\n  {locations}\n"
        )

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        command = [sys.executable, "-m", "alembic", *arguments]
        done = subprocess.run(command, cwd=self._home, env=self._environment, check=False, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout


def test_errors_of_operations_outside_the_environment() -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    import cdc_masker.catalog.operations  # noqa: F401 - registers mask_column

    context = MigrationContext.configure(url="postgresql+asyncpg://", opts={"as_sql": True})
    with pytest.raises(CdcMaskerError, match=r"must call cdc_masker\.catalog\.environment\.run"):
        Operations(context).mask_column("a.b", "c", method="null")  # type: ignore[attr-defined]


def test_what_masks_less_needs_a_reason_which_is_kept(settings: Settings, database: Database, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    keep = 'op.keep_column("crm.customers", "email", reason="wanted")'
    revisions.write("three", "two", keep, weaker=None)
    with pytest.raises(PolicyError, match=r"three: masks less.*op\.allow_weaker\(reason\): crm\.customers\.email was"):
        commands.upgrade(settings, revisions.directory)
    assert current(settings).version == 2
    revisions.write("three", "two", keep, weaker="the board decided")
    commands.upgrade(settings, revisions.directory)
    assert current(settings).version == 3
    reasons = "SELECT version, weaker_reason FROM cdc_masker.policy_version WHERE version > 2"
    assert query(database.dsn, reasons) == [(3, "the board decided")]
    receipts = "SELECT kind, about, reason FROM cdc_masker.receipt WHERE kind = 'weaken' ORDER BY id DESC LIMIT 1"
    assert query(database.dsn, receipts) == [("weaken", "policy version 3", "the board decided")]


def test_a_reason_is_kept_only_where_less_is_masked(settings: Settings, database: Database, revisions: Revisions) -> None:
    stronger = 'op.mask_column("crm.customers", "email", method="null", type="text")'
    revisions.write("three", "two", stronger, weaker="just in case")
    revisions.write("four", "three", 'op.keep_column("crm.customers", "email", reason="wanted")', weaker="the board decided")
    commands.upgrade(settings, revisions.directory)
    commands.downgrade(settings, "policy@-1", revisions.directory, allow_weaker="just in case")
    reasons = "SELECT version, weaker_reason FROM cdc_masker.policy_version WHERE version > 2 ORDER BY version"
    assert query(database.dsn, reasons) == [(3, None), (4, "the board decided"), (5, None)]
    receipts = "SELECT about FROM cdc_masker.receipt WHERE reason = 'just in case'"
    assert query(database.dsn, receipts) == []


def test_revisions_that_are_not_merged_say_nothing_together(settings: Settings, revisions: Revisions) -> None:
    revisions.write("other", "one", 'op.keep_column("a.b", "c", reason="wanted")')
    with pytest.raises(SetupError, match="several newest revisions, other, two; merge them with `alembic merge`"):
        commands.said(settings, revisions.directory)
    revisions.write("both", ("two", "other"), "pass")
    assert len(commands.said(settings, revisions.directory).rules) == 2


def test_a_first_mask_needs_no_reason_but_a_second_thought_does(settings: Settings, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    revisions.write("three", "two", 'op.mask_column("a.b", "c", method="tokenize", type="text")', weaker=None)
    revisions.write("four", "three", 'op.forget_column("a.b", "c")', weaker=None)
    revisions.write("five", "four", 'op.mask_column("a.b", "c", method="tokenize", type="text")', weaker=None)
    with pytest.raises(PolicyError, match=r"five: masks less.*a\.b\.c was undecided"):
        commands.upgrade(settings, revisions.directory)


def test_going_back_to_what_masks_less_needs_a_reason(settings: Settings, revisions: Revisions) -> None:
    revisions.write("three", "two", 'op.mask_column("crm.customers", "email", method="null", type="text")', weaker=None)
    commands.upgrade(settings, revisions.directory)
    for no_reason in (None, "", " "):
        with pytest.raises(PolicyError, match="-x allow_weaker=REASON"):
            commands.downgrade(settings, "policy@two", revisions.directory, no_reason)
    commands.downgrade(settings, "policy@two", revisions.directory, "it broke the reports")
    assert current(settings).version == 4


def test_a_first_revision_that_was_rewritten_is_no_first_one(settings: Settings, revisions: Revisions) -> None:
    commands.upgrade(settings, revisions.directory)
    commands.downgrade(settings, "policy@base", revisions.directory, "a test")
    revisions.write("one", None, 'op.keep_column("crm.customers", "email", reason="wanted")', weaker=None)
    with pytest.raises(SetupError, match="the first policy revision masks less"):
        commands.upgrade(settings, revisions.directory)
