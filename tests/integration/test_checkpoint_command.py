"""`cdc-masker audit checkpoint`, with real servers: what it signs, where it puts it, and what it refuses to sign."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cdc_masker import heads
from cdc_masker.catalog import commands, open_catalog
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import head_of
from cdc_masker.heads import Chain, Head, Heads
from cdc_masker.keys.signing import new_signing_key, signing_key
from cdc_masker.settings import load
from cdc_masker.stack import Database, Stack
from tests.entries import TOPIC, chained, entry, note
from tests.integration.kit import Deployment, until
from tests.migrations.kit import execute
from tests.unit.commands import Result, runner

pytestmark = pytest.mark.stack

PROGRAM = Path(sys.executable).parent / "cdc-masker"
FIRST = chained(entry(0), entry(10), entry(20))
SECOND = chained(
    entry(0, partition=4),
    entry(
        10,
        partition=4,
        notes=(note(11, partition=4), note(12, partition=4, fate=Fate.DROPPED)),
        counts={**dict.fromkeys(Fate, 0), Fate.MASKED: 8, Fate.QUARANTINED: 1, Fate.DROPPED: 1},
    ),
)
CHAINS = [Chain(1, TOPIC, 3, "topic-id"), Chain(1, TOPIC, 4, "topic-id")]


class Home:
    """A catalog, a login for an auditor, and a key to sign with; commands run in this process."""

    def __init__(self, database: Database, path: Path) -> None:
        self.path = path
        self.superuser = database.dsn
        commands.upgrade(load(database_url=database.dsn, database_ssl="disable"), None)
        login = database.dsn.rpartition("/")[2]
        execute(database.dsn, f"CREATE ROLE {login} LOGIN PASSWORD 'pass' IN ROLE cdc_masker_auditor")
        new_signing_key(path / "key.pem")
        self.key = signing_key(path / "key.pem")
        self.environment = {
            "CDC_MASKER_DATABASE_URL": f"postgresql://{login}:pass@{database.dsn.rpartition('@')[2]}",
            "CDC_MASKER_DATABASE_SSL": "disable",
            "CDC_MASKER_APP_ID": "shop",
        }

    def append(self, *entries: AuditEntry) -> None:
        async def run() -> None:
            async with open_catalog(load(database_url=self.superuser, database_ssl="disable")) as catalog:
                await catalog.audit.append(entries)

        asyncio.run(run())

    def words(self, *places: str) -> list[str]:
        return ["audit", "checkpoint", "--key", str(self.path / "key.pem"), *(f"--to={each}" for each in places)]

    def note(self, by_chain: dict[Chain, Head]) -> bytes:
        told = Heads("shop", by_chain)
        return heads.write(told, self.key.public_key().public_bytes_raw(), self.key.sign(heads.text(told).encode()))

    def read(self, note: bytes) -> Heads:
        return heads.read(note, [self.key.public_key().public_bytes_raw()])

    def notes(self, directory: Path) -> list[Heads]:
        return [self.read(path.read_bytes()) for path in sorted(directory.glob("*"))]


@pytest.fixture(scope="module")
def home(fresh_database: Callable[[str], Database], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With two chains that tests don't add to."""
    made = Home(fresh_database("anchor"), tmp_path_factory.mktemp("anchor"))
    made.append(*FIRST, *SECOND)
    return made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `audit checkpoint` for a home in an empty directory: places, then more words."""
    command = runner(monkeypatch, tmp_path, capsys, never="PRIVATE KEY")

    def run(home: Home, *places: str, more: Sequence[str] = (), **settings: str) -> Result:
        for name, value in {**home.environment, **settings}.items():
            monkeypatch.setenv(name, value)
        return command(*home.words(*places), *more)

    return run


Run = Callable[..., Result]


def ends(*entries: AuditEntry) -> dict[Chain, Head]:
    return {Chain(each.generation, each.topic, each.partition, each.incarnation): Head(each.last_offset, head_of(each))
            for each in entries}  # fmt: skip


def test_an_auditor_signs_the_end_of_each_chain(home: Home, run: Run, tmp_path: Path) -> None:
    assert run(home, "command:tee out.note", "file:notes").code == 0
    assert home.notes(tmp_path / "notes") == [Heads("shop", ends(FIRST[-1], SECOND[-1]))]
    assert home.read((tmp_path / "out.note").read_bytes()) == home.notes(tmp_path / "notes")[0]


def test_an_audit_without_entries_can_be_signed_and_each_place_gets_what_is_new(
    fresh_database: Callable[[str], Database], kafka: Stack, unique: Callable[[str], str], run: Run, tmp_path: Path
) -> None:
    home, deployment = Home(fresh_database("anchor"), tmp_path), Deployment(kafka, tmp_path, unique("anchor"), {})
    topic, brokers = deployment.topic, {"CDC_MASKER_KAFKA_BROKERS": kafka.kafka_brokers}
    assert run(home, "file:notes").code == 0
    home.append(*FIRST[:2])
    assert run(home, f"topic:{topic}", **brokers).out.endswith(f"of 1 chains, written to topic:{topic}\n")
    assert "nothing is new" in run(home, f"topic:{topic}", **brokers).out
    other = entry(0, topic="shop.crm.orders", generation=2)
    home.append(FIRST[2], other)
    assert run(home, f"topic:{topic}", "file:notes", **brokers).out.endswith(f"written to topic:{topic}, file:notes\n")
    last = ends(FIRST[2], other)
    assert [home.read(record.value).by_chain for record in deployment.records(topic)] == [ends(FIRST[1]), last]
    assert [each.by_chain for each in home.notes(tmp_path / "notes")] == [{}, last]
    settings = deployment.settings_of(topic)
    assert (settings["retention.ms"], settings["retention.bytes"], settings["cleanup.policy"]) == ("-1", "-1", "delete")

    deployment.create(f"{topic}.short", retention_ms="1000")
    refused = run(home, f"topic:{topic}.short", **brokers)
    assert refused.code == 2
    assert "retention.ms=-1" in refused.err


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({CHAINS[0]: Head(29, "sha256:other")}, f"{TOPIC}[3] (generation 1, incarnation topic-id) has not the entry any more"),
        ({CHAINS[0]: Head(19, "sha256:other")}, "that ended at offset 19"),
        ({CHAINS[0]: Head(14, head_of(FIRST[1]))}, "that ended at offset 14"),
        ({CHAINS[0]: Head(39, "sha256:cut")}, "ends at offset 29; it went to 39"),
        ({CHAINS[1]._replace(incarnation="x"): Head(9, "sha256:aa")}, f"{TOPIC}[4] (generation 1, incarnation x) is gone"),
    ],
)
def test_an_audit_that_went_back_is_told_and_not_signed(
    home: Home, run: Run, tmp_path: Path, told: dict[Chain, Head], says: str
) -> None:
    (tmp_path / "notes").mkdir()
    last = tmp_path / "notes" / "00000009.note"
    last.write_bytes(home.note({**ends(FIRST[0], SECOND[0]), **told}))
    done = run(home, "file:notes", "file:others")
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert done.err.count("WENT BACK") == 1
    assert [*(tmp_path / "notes").iterdir()] == [last]
    assert not (tmp_path / "others").exists()


@pytest.mark.parametrize(
    ("origin", "note", "says"),
    [("shop", b"a note\n", "can't be used"), ("another", None, "holds notes of origin shop"), ("a b", None, "without spaces")],
)
def test_a_place_with_other_notes_is_refused(
    home: Home, run: Run, tmp_path: Path, origin: str, note: bytes | None, says: str
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "00000001.note").write_bytes(note or home.note({}))
    done = run(home, "file:notes", more=["--origin", origin])
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("ftp:x", "is no place"),
        ("file:", "is no place"),
        ("command:false", "failed with exit code 1"),
        ("command:/none/such", "can't be run"),
        ("command:'", "not a command line"),
        ("file:/dev/null", "can't be read or written"),
    ],
)
def test_a_place_that_takes_nothing_is_told(home: Home, run: Run, place: str, says: str) -> None:
    done = run(home, place)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_nothing_is_signed_unless_every_place_was_looked_at(home: Home, run: Run, tmp_path: Path) -> None:
    """A directory that can't be read is not an empty one."""
    assert run(home, "file:notes", "file:/dev/null").code == 2
    assert not (tmp_path / "notes").exists()


def test_it_goes_on_while_postgresql_is_away_and_ends_when_told(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        stack.up("postgres")
        home = Home(stack.create_database("anchor"), tmp_path)
        home.append(FIRST[0])
        log, environment = tmp_path / "log", {**os.environ, **home.environment}
        command = [str(PROGRAM), *home.words("file:notes"), "--every", "1"]
        with log.open("wb") as output:
            running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
        try:
            until(lambda: "written to file:notes" in log.read_text(), 30, log.read_text)
            stack.stop("postgres")
            until(lambda: "no checkpoint: " in log.read_text(), 30, log.read_text)
            stack.start("postgres")
            home.append(*FIRST[1:])
            until(lambda: len(home.notes(tmp_path / "notes")) == 2, 30, log.read_text)
            running.send_signal(signal.SIGTERM)
            assert running.wait(10) == 0, log.read_text()
        finally:
            running.kill()
            running.wait()
        assert [each.by_chain for each in home.notes(tmp_path / "notes")] == [ends(FIRST[0]), ends(FIRST[2])]
        stack.wipe()
