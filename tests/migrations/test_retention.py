"""Retention: months go out of the catalog, proven by what stays; nothing else does, and a run that was cut off goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.cli import app
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import head_of
from cdc_masker.exports import BadExport, Manifest, decode_manifest, encode_manifest, read
from cdc_masker.heads import Chain, Head, Heads, Kept
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.entries import chained, entry, note
from tests.migrations.kit import OFF, ON, query, stop_clock

pytestmark = pytest.mark.stack

BEFORE = datetime(2026, 4, 1, tzinfo=UTC)
ONE_QUARANTINED = {**dict.fromkeys(Fate, 0), Fate.QUARANTINED: 1, Fate.MASKED: 9}


def batch(first: int, year: int, month: int, day: int, hour: int = 0, minute: int = 0, **changes: Any) -> AuditEntry:
    """A batch of ten records that was masked then; one of them was quarantined."""
    masked_at = int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)
    notes = (note(first + 4, partition=changes.get("partition", 3)),)
    return entry(first, masked_at=masked_at, notes=notes, counts=ONE_QUARANTINED, **changes)


CHAIN = chained(
    batch(0, 2026, 1, 5), batch(10, 2026, 1, 31, 23, 59), batch(20, 2026, 2, 1), batch(30, 2026, 3, 3), batch(40, 2026, 5, 1)
)
"""Goes on after what is retired."""
QUIET = chained(batch(0, 2026, 1, 2, partition=2), batch(10, 2026, 1, 3, partition=2))
"""Ends in the first month."""


@pytest.fixture
def catalog(settings: Settings, database: Database) -> Database:
    """With partitions of two past months; what is of others is in DEFAULT."""
    commands.upgrade(settings)
    make = (
        "SELECT cdc_masker.make_audit_partition('{0}', '{0}_{1}_{2}', $$FOR VALUES FROM ('{1}-{2}-01Z') TO ('{1}-{3}-01Z')$$)"
    )
    parts = [
        make.format(table, *month)
        for table in ("audit_entry", "audit_note")
        for month in (("2026", "01", "02"), ("2026", "03", "04"))
    ]
    query(database.dsn, OFF, "SET ROLE cdc_masker_owner", *parts, "RESET ROLE", ON, "SELECT 1")
    return database


@pytest.fixture
def retention(catalog: Database, login: Callable[[str], str]) -> Settings:
    return load(database_url=login("retention"), database_ssl="disable")


def append(settings: Settings, *entries: AuditEntry) -> None:
    async def run() -> None:
        async with open_catalog(settings) as opened:
            await opened.audit.append(entries)

    asyncio.run(run())


def retire(
    settings: Settings,
    directory: Path,
    before: datetime = BEFORE,
    *,
    checkpoint: Kept | None = None,
    dry_run: bool = False,
) -> list[Manifest]:
    async def run() -> list[Manifest]:
        async with open_catalog(settings) as opened:
            retiring = opened.retention.retire(before, directory, checkpoint=checkpoint, dry_run=dry_run)
            return [manifest async for manifest in retiring]

    return asyncio.run(run())


def rows(settings: Settings, table: str = "audit_entry") -> list[tuple[int, int]]:
    dsn = settings.database_url.get_secret_value() if settings.database_url else ""
    return [(int(p), int(o)) for p, o in query(dsn, f"SELECT partition, first_offset FROM cdc_masker.{table} ORDER BY 1, 2")]


def exported(directory: Path) -> list[AuditEntry]:
    """All entries in a directory, read by their manifests."""
    found: list[AuditEntry] = []
    for path in sorted(directory.glob("*.json")):
        manifest = decode_manifest(path.read_bytes())
        content = (directory / manifest.file).read_bytes()
        assert sha256(content).hexdigest() == manifest.sha256
        found += read(manifest, content.splitlines(keepends=True))
    return found


def summary(manifests: Sequence[Manifest]) -> list[tuple[str, int, list[tuple[int, int, int]]]]:
    return [
        (each.month, each.number, [(run.partition, run.first_offset, run.last_offset) for run in each.runs])
        for each in manifests
    ]


def receipts(database: Database) -> list[Manifest]:
    found = query(database.dsn, "SELECT detail FROM cdc_masker.receipt WHERE kind = 'retire' ORDER BY id")
    return [decode_manifest(detail.encode()) for (detail,) in found]


def test_months_go_out_and_are_proven_by_what_stays(
    catalog: Database, settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *CHAIN, *QUIET)
    looked = retire(retention, tmp_path / "none", dry_run=True)
    assert not (tmp_path / "none").exists()
    assert len(rows(settings)) == 7

    manifests = retire(retention, tmp_path / "out")
    assert manifests == looked == receipts(catalog)
    assert summary(manifests) == [
        ("2026-01", 1, [(2, 0, 9), (3, 0, 19)]),
        ("2026-02", 1, [(3, 20, 29)]),
        ("2026-03", 1, [(3, 30, 39)]),
    ]
    assert [run.previous for each in manifests for run in each.runs] == ["", "", CHAIN[2].previous, CHAIN[3].previous]
    assert [run.head for each in manifests for run in each.runs] == [
        QUIET[1].previous,
        CHAIN[2].previous,
        CHAIN[3].previous,
        CHAIN[4].previous,
    ]
    assert sorted(exported(tmp_path / "out"), key=lambda one: (one.partition, one.first_offset)) == [QUIET[0], *CHAIN[:4]]
    assert rows(settings) == [(2, 10), (3, 40)]
    assert rows(settings, "audit_note") == [(2, 10), (3, 40)]
    assert query(catalog.dsn, "SELECT kind, login LIKE 'retention%', about FROM cdc_masker.receipt ORDER BY id LIMIT 1") == [
        ("retire", True, "2026-01")
    ]
    left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'cdc_masker'::regnamespace AND relname ~ '_(2026_0[13]|retired)'"
    assert query(catalog.dsn, left) == [(0,)]
    assert query(catalog.dsn, "SELECT count(*) FROM cdc_masker_guard.letting") == [(0,)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"audit-2026-0{month}.{kind}" for month in (1, 2, 3) for kind in ("json", "jsonl")
    )

    async def heads() -> list[AuditEntry | None]:
        async with open_catalog(settings) as opened:
            return [await opened.audit.last(1, "topic-id", CHAIN[0].topic, partition) for partition in (3, 2)]

    assert asyncio.run(heads()) == [CHAIN[4], QUIET[1]]
    assert retire(retention, tmp_path / "out") == []


def kept(head: Head) -> Kept:
    """A checkpoint in which the longer chain ends so."""
    return Kept(b"the note", Heads("shop", {Chain(1, CHAIN[0].topic, 3, "topic-id"): head}))


def test_a_checkpoint_is_kept_beside_each_export(settings: Settings, retention: Settings, tmp_path: Path) -> None:
    append(settings, *CHAIN)
    retire(retention, tmp_path, datetime(2026, 2, 1, tzinfo=UTC))
    end = kept(Head(39, head_of(CHAIN[3])))
    retire(retention, tmp_path, datetime(2026, 3, 1, tzinfo=UTC), checkpoint=end)
    (tmp_path / "audit-2026-03.note").write_bytes(b"of a run that was cut off")
    retire(retention, tmp_path, checkpoint=end)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.note")} == {
        "audit-2026-02.note": b"the note",
        "audit-2026-03.note": b"of a run that was cut off",
    }
    assert exported(tmp_path) == CHAIN[:4]


def test_a_checkpoint_that_does_not_show_the_entries_is_refused(
    settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *CHAIN)
    older = r"the checkpoint is older than entries of .*customers/3 .*: take one more"
    for head, error, says in (
        (Head(9, head_of(CHAIN[0])), SetupError, older),
        (Head(39, "sha256:other"), BadExport, "offset 39: the entry that the checkpoint names is not there"),
        (Head(59, "sha256:cut"), BadExport, "offset 59: the entry that the checkpoint names is not there"),
    ):
        for dry_run in (True, False):
            with pytest.raises(error, match=says):
                retire(retention, tmp_path / "out", checkpoint=kept(head), dry_run=dry_run)
    assert list((tmp_path / "out").iterdir()) == []
    assert len(rows(settings)) == 5


def test_a_catalog_stays_guarded_and_append_only(
    catalog: Database, settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *CHAIN, *QUIET)
    retire(retention, tmp_path)

    async def condition() -> Any:
        async with open_catalog(settings) as opened:
            return await opened.guarding.condition()

    found = asyncio.run(condition())
    assert (found.changeable, found.emptyable, found.grants, found.strange, found.guarded) == ((), (), (), (), True)
    query(catalog.dsn, "CREATE TABLE mine ()", "ALTER TABLE mine ADD name text", "DROP TABLE mine", "SELECT 1")
    for statement in ("TRUNCATE cdc_masker.audit_entry_default", "DROP TABLE cdc_masker.audit_note_default"):
        with pytest.raises(asyncpg.RaiseError):
            query(catalog.dsn, statement)


def test_a_chain_that_goes_on_gives_up_what_was_its_end(settings: Settings, retention: Settings, tmp_path: Path) -> None:
    append(settings, *QUIET)
    assert summary(retire(retention, tmp_path)) == [("2026-01", 1, [(2, 0, 9)])]
    more = chained(*QUIET, batch(20, 2026, 6, 1, partition=2))
    append(settings, more[-1])
    assert summary(retire(retention, tmp_path)) == [("2026-01", 2, [(2, 10, 19)])]
    assert exported(tmp_path) == [QUIET[1], QUIET[0]]  # the second file comes first by name
    assert rows(settings) == [(2, 20)]


def test_a_run_that_was_cut_off_goes_on(catalog: Database, settings: Settings, retention: Settings, tmp_path: Path) -> None:
    append(settings, *CHAIN)

    async def cut_off() -> None:
        async with open_catalog(retention) as opened:
            async for manifest in opened.retention.retire(BEFORE, tmp_path):
                assert manifest.month == "2026-01"
                revoke = "REVOKE EXECUTE ON FUNCTION cdc_masker.retire_audit(json) FROM cdc_masker_retention"
                await asyncio.to_thread(query, catalog.dsn, revoke, "SELECT 1")

    with pytest.raises(SetupError, match="cdc_masker_retention"):
        asyncio.run(cut_off())
    assert (tmp_path / "audit-2026-02.json").exists()  # written, and nothing taken out yet
    assert len(receipts(catalog)) == 1
    query(catalog.dsn, "GRANT EXECUTE ON FUNCTION cdc_masker.retire_audit(json) TO cdc_masker_retention", "SELECT 1")
    assert summary(retire(retention, tmp_path)) == [("2026-02", 1, [(3, 20, 29)]), ("2026-03", 1, [(3, 30, 39)])]
    assert exported(tmp_path) == CHAIN[:4]
    assert not list(tmp_path.glob(".*"))


def test_clocks_that_differ_make_more_runs(settings: Settings, retention: Settings, tmp_path: Path) -> None:
    entries = chained(batch(0, 2026, 1, 31), batch(10, 2026, 2, 1), batch(20, 2026, 1, 31, 12), batch(30, 2026, 5, 1))
    append(settings, *entries)
    assert summary(retire(retention, tmp_path)) == [("2026-01", 1, [(3, 0, 9), (3, 20, 29)]), ("2026-02", 1, [(3, 10, 19)])]
    assert sorted(exported(tmp_path), key=lambda one: one.first_offset) == entries[:3]


def test_entries_that_come_back_go_out_again(settings: Settings, retention: Settings, tmp_path: Path) -> None:
    append(settings, *CHAIN)
    retire(retention, tmp_path)
    append(settings, *CHAIN)  # somebody reads the audit topic from its beginning
    assert [each.number for each in retire(retention, tmp_path)] == [2, 2, 2]
    assert sorted(exported(tmp_path), key=lambda one: one.first_offset) == sorted(
        [*CHAIN[:4]] * 2, key=lambda one: one.first_offset
    )
    assert rows(settings) == [(3, 40)]


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        (
            [*CHAIN[:1], replace(CHAIN[1], worker="other"), *CHAIN[2:]],
            r"customers/3 .* offset 20: .*what follows does not name",
        ),
        ([*CHAIN[:1], replace(CHAIN[1], previous="sha256:other"), *CHAIN[2:]], "customers/3 from offset 10 .* does not name"),
        ([CHAIN[0], *CHAIN[2:]], r"customers/3 .* offset 10: .*what follows does not name"),
        (CHAIN[1:], r"customers/3 .* offset 10: .*what came before"),
        ([*CHAIN[:2], CHAIN[4]], r"customers/3 .* offset 20: .*what follows"),
    ],
)
def test_what_is_no_chain_is_not_taken_out(
    broken: list[AuditEntry], place: str, settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *broken)
    for dry_run in (True, False):
        with pytest.raises(BadExport, match=place):
            retire(retention, tmp_path / "out", dry_run=dry_run)
    assert list((tmp_path / "out").iterdir()) == []
    assert len(rows(settings)) == len(broken)


def test_another_export_is_not_written_over(settings: Settings, retention: Settings, tmp_path: Path) -> None:
    append(settings, *CHAIN)
    (tmp_path / "audit-2026-01.json").write_text("{}")
    with pytest.raises(SetupError, match=r"audit-2026-01.json tells of another export"):
        retire(retention, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file can't be written .*; correct --to"):
        retire(retention, tmp_path / "file")
    assert len(rows(settings)) == 5


def test_only_what_was_exported_is_taken_out(
    catalog: Database, settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *CHAIN)
    (january, *_) = retire(retention, tmp_path, dry_run=True)
    (run,) = january.runs
    late = batch(0, 2026, 1, 9, partition=5)
    append(settings, *chained(late, batch(10, 2026, 6, 1, partition=5)))
    stop_clock(catalog.dsn, datetime(2026, 5, 31, 23, 59, 59, 999999, tzinfo=UTC))
    told = {
        "came in meanwhile": january,
        "was retired meanwhile": replace(january, number=2),
        "is not over": replace(january, month="2026-05"),
        "does not fit the chains": replace(january, runs=(replace(run, head="sha256:other"),)),
        "2026-01 does not fit": replace(january, runs=(replace(run, previous="sha256:other"),)),
        "of month 2026-01 does not fit": replace(january, runs=(replace(run, last_offset=29),)),
        "of month 2026-03 does not fit": replace(january, month="2026-03"),
    }
    dsn = retention.database_url.get_secret_value() if retention.database_url else ""
    for message, manifest in told.items():
        with pytest.raises(asyncpg.RaiseError, match=message):
            query(dsn, f"SELECT cdc_masker.retire_audit($${encode_manifest(manifest).decode()}$$)")
    assert len(rows(settings)) == 7
    assert receipts(catalog) == []


def test_without_a_guard_the_owner_takes_out(
    catalog: Database, settings: Settings, retention: Settings, tmp_path: Path
) -> None:
    append(settings, *CHAIN)
    guard = [f"DROP EVENT TRIGGER cdc_masker_guard_{each}" for each in ("alter", "drop")]
    query(catalog.dsn, *guard, "DROP SCHEMA cdc_masker_guard CASCADE", "SELECT 1")
    assert len(retire(retention, tmp_path)) == 3
    assert rows(settings) == [(3, 40)]


def test_nobody_else_retires(catalog: Database, login: Callable[[str], str]) -> None:
    for role in ("worker", "migrator", "signer", "auditor", "custodian"):
        for function in ("cdc_masker.retire_audit('{}')", "cdc_masker_guard.retire_audit('{}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                query(login(role), f"SELECT {function}")


def test_the_role_of_retention_does_nothing_else(catalog: Database, settings: Settings, login: Callable[[str], str]) -> None:
    append(settings, *CHAIN)
    retention = login("retention")
    for statement in (
        "DELETE FROM cdc_masker.audit_entry",
        "TRUNCATE cdc_masker.audit_entry_2026_01",
        "DROP TABLE cdc_masker.audit_entry_2026_01",
        "INSERT INTO cdc_masker.audit_entry SELECT * FROM cdc_masker.audit_entry",
        "INSERT INTO cdc_masker.receipt OVERRIDING SYSTEM VALUE SELECT * FROM cdc_masker.receipt",
        "INSERT INTO cdc_masker_guard.letting VALUES (pg_current_xact_id())",
        "SELECT cdc_masker.make_audit_partitions()",
        "SELECT cdc_masker_guard.let('cdc_masker.retire_audit(json)')",
        "SELECT cdc_masker_guard.retire_audit('{}')",
        "SELECT * FROM cdc_masker.policy_version",
        "SELECT * FROM cdc_masker.subject_key",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(retention, statement)


def test_the_guard_lets_only_the_functions_that_the_migration_made(catalog: Database) -> None:
    for statement in (
        "SELECT cdc_masker_guard.let('now()')",
        "INSERT INTO cdc_masker_guard.letting VALUES (pg_current_xact_id())",
    ):
        with pytest.raises((asyncpg.RaiseError, asyncpg.InsufficientPrivilegeError)):
            query(catalog.dsn, "SET ROLE cdc_masker_owner", statement)
    trap = (
        "CREATE OR REPLACE FUNCTION cdc_masker.make_audit_partitions() RETURNS void LANGUAGE plpgsql AS "
        "'BEGIN CREATE ROLE of_a_superuser; END'"
    )
    query(catalog.dsn, OFF, "SET ROLE cdc_masker_owner", trap, "RESET ROLE", ON, "SELECT 1")
    with pytest.raises(asyncpg.RaiseError, match="is not as the migration made it"):
        query(catalog.dsn, "SET ROLE cdc_masker_owner", "SELECT cdc_masker_guard.make_audit_partitions()")


def test_the_command_takes_months_out(
    settings: Settings, retention: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append(settings, *CHAIN, *QUIET)
    assert retention.database_url is not None
    monkeypatch.setenv("CDC_MASKER_DATABASE_URL", retention.database_url.get_secret_value())
    monkeypatch.setenv("CDC_MASKER_DATABASE_SSL", "disable")

    def run(before: str, *options: str) -> str:
        app(["audit", "retire", "--before", before, "--to", str(tmp_path), *options], standalone_mode=False)
        return capsys.readouterr().out

    assert run("2026-02", "--dry-run") == "2026-01: 3 entries of 2 chains would be taken out\n"
    assert run("2026-02") == f"2026-01: 3 entries of 2 chains taken out, to {tmp_path / 'audit-2026-01.jsonl'}\n"
    assert run("2026-02") == "nothing before 2026-02 is to be taken out\n"
    for month in ("2026-2-1", "2026-13", "tomorrow", "2999-01"):
        with pytest.raises(SetupError, match="--before takes"):
            run(month)
